"""End to end on a real Kubernetes: the built images, the chart, Chromium. `make e2e` runs it; nothing here runs in `make test`."""
