{{- define "moltbot.labels" -}}
app.kubernetes.io/name: moltbot-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "moltbot.selector" -}}
app.kubernetes.io/name: moltbot-operator
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* the same as settings of the operator write it */ -}}
{{- define "moltbot.selectorList" -}}
app.kubernetes.io/name=moltbot-operator,app.kubernetes.io/instance={{ .root.Release.Name }},app.kubernetes.io/component={{ .component }}
{{- end }}

{{- define "moltbot.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "moltbot.operator" -}}moltbot-operator{{- end }}
{{- define "moltbot.router" -}}moltbot-router{{- end }}

{{- /* No pod of the release may do more than its program needs (Pod Security `restricted`). */ -}}
{{- define "moltbot.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "moltbot.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
