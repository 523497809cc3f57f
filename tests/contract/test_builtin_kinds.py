"""Built-in kinds of our manifests: what is filled in (or it would look like drift), what is refused, what cannot change."""

from __future__ import annotations

import base64
from typing import Any

from tests.contract.client import STRATEGIC, Client

LABELS = {"app": "x"}


def stateful_set(name: str = "s", replicas: int = 0, **spec: Any) -> Any:
    volumes = [
        {"name": "s", "secret": {"secretName": "q"}},
        {"name": "e", "emptyDir": {}},
        {"name": "cm", "configMap": {"name": "z"}},
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "pv", "persistentVolumeClaim": {"claimName": "z"}},
        {"name": "pj", "projected": {"sources": [{"secret": {"name": "q"}}]}},
    ]
    state: Any = {"name": "i", "image": "x:1", "restartPolicy": "Always", "startupProbe": {"httpGet": {"path": "/", "port": 80}}}
    gateway: Any = {
        "name": "c",
        "image": "x",
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
        "readinessProbe": {"exec": {"command": ["true"]}},
        "volumeMounts": [{"name": "s", "mountPath": "/s"}],
    }
    pod = {"initContainers": [state], "containers": [gateway], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": "s",
            "selector": {"matchLabels": LABELS},
            "updateStrategy": {"type": "OnDelete"},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
            **spec,
        },
    }


PROBE: Any = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
ENDS: Any = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


async def test_a_stateful_set_gets_the_real_defaults(client: Client) -> None:
    spec = (await client.create(client.of("apps", "v1", "statefulsets"), stateful_set())).ok()["spec"]
    pod = spec.pop("template")
    assert spec == {
        "replicas": 0,
        "selector": {"matchLabels": LABELS},
        "serviceName": "s",
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
    assert pod["spec"] == {
        "volumes": [
            {"name": "s", "secret": {"secretName": "q", "defaultMode": 420}},
            {"name": "e", "emptyDir": {}},
            {"name": "cm", "configMap": {"name": "z", "defaultMode": 420}},
            {"name": "h", "hostPath": {"path": "/x", "type": ""}},
            {"name": "pv", "persistentVolumeClaim": {"claimName": "z"}},
            {"name": "pj", "projected": {"sources": [{"secret": {"name": "q"}}], "defaultMode": 420}},
        ],
        "initContainers": [
            {
                "name": "i",
                "image": "x:1",
                "resources": {},
                "restartPolicy": "Always",
                "startupProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, **PROBE},
                "imagePullPolicy": "IfNotPresent",
                **ENDS,
            }
        ],
        "containers": [
            {
                "name": "c",
                "image": "x",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                "volumeMounts": [{"name": "s", "mountPath": "/s"}],
                "readinessProbe": {"exec": {"command": ["true"]}, **PROBE},
                "imagePullPolicy": "Always",
                **ENDS,
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }


async def test_what_of_a_stateful_set_cannot_change(client: Client) -> None:
    """Rule 2 needs a new StatefulSet where these differ."""
    path = client.of("apps", "v1", "statefulsets")
    await client.create(path, stateful_set())
    words = (
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    status = (await client.patch(f"{path}/s", {"spec": {"serviceName": "t"}})).refused(422, "Invalid")
    assert status["message"] == f'StatefulSet.apps "s" is invalid: {words}'
    assert status["details"]["causes"][0] == {"reason": "FieldValueForbidden", "message": words.removeprefix("spec: "), "field": "spec"}
    status = (await client.patch(f"{path}/s", {"spec": {"selector": {"matchLabels": {"z": "y"}}}})).refused(422)
    assert status["message"] == (
        'StatefulSet.apps "s" is invalid: [spec.template.metadata.labels: Invalid value: {"app":"x"}: '
        f"`selector` does not match template `labels`, {words}]"
    )
    changed = (await client.patch(f"{path}/s", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})).ok()
    assert changed["metadata"]["generation"] == 2


async def test_a_stateful_set_with_mistakes_is_refused(client: Client) -> None:
    path = client.of("apps", "v1", "statefulsets")
    status = (await client.create(path, {"metadata": {"name": "t"}})).refused(422)
    assert status["message"] == (
        'StatefulSet.apps "t" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: '
        "`selector` does not match template `labels`, spec.template.spec.containers: Required value]"
    )
    status = (await client.create(path, {"metadata": {"name": "t"}, "spec": {"replicas": "one"}})).refused(400, "BadRequest")
    assert status["message"] == (
        'StatefulSet in version "v1" cannot be handled as a StatefulSet: '
        "json: cannot unmarshal string into Go struct field StatefulSetSpec.spec.replicas of type int32"
    )
    status = (await client.create(path, stateful_set("t", foo=1), fieldValidation="Strict")).refused(400)
    words = 'StatefulSet in version "v1" cannot be handled as a StatefulSet: strict decoding error: unknown field "spec.foo"'
    assert status["message"] == words
    warned = await client.create(path, stateful_set("t", foo=1), dryRun="All")
    assert "foo" not in warned.ok()["spec"]
    assert warned.warnings == ['299 - "unknown field \\"spec.foo\\""']
    await client.create(path, stateful_set())
    bad = {"spec": {"template": {"spec": {"containers": [{"name": "C_", "image": ""}]}}}}
    status = (await client.patch(f"{path}/s", bad)).refused(422)
    assert 'spec.template.spec.containers[0].name: Invalid value: "C_": a lowercase RFC 1123 label must consist of' in status["message"]
    assert "spec.template.spec.containers[0].image: Required value" in status["message"]
    status = (await client.patch(f"{path}/s", {"spec": {"template": {"spec": {"volumes": []}}}})).refused(422)
    assert status["message"] == ('StatefulSet.apps "s" is invalid: spec.template.spec.containers[0].volumeMounts[0].name: Not found: "s"')


async def test_a_pod_with_mistakes_is_refused(client: Client) -> None:
    containers = [
        {
            "name": "c",
            "image": "x",
            "imagePullPolicy": "Z",
            "ports": [{"containerPort": 0}],
            "env": [{"name": ""}],
            "volumeMounts": [{"name": "no", "mountPath": ""}],
        },
        {"name": "c"},
    ]
    pod = {"metadata": {"name": "p"}, "spec": {"restartPolicy": "Z", "containers": containers}}
    status = (await client.create(client.core("pods"), pod)).refused(422, "Invalid")
    assert sorted(f"{cause['field']}: {cause['message']}" for cause in status["details"]["causes"]) == sorted(
        [
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].env[0].name: Required value",
            'spec.containers[0].volumeMounts[0].name: Not found: "no"',
            "spec.containers[0].volumeMounts[0].mountPath: Required value",
            'spec.containers[0].imagePullPolicy: Unsupported value: "Z": supported values: "Always", "IfNotPresent", "Never"',
            "spec.containers[1].image: Required value",
            'spec.containers[1].name: Duplicate value: "c"',
            'spec.restartPolicy: Unsupported value: "Z": supported values: "Always", "OnFailure", "Never"',
        ]
    )


async def test_a_pod_gets_what_admission_adds_and_cannot_change(client: Client) -> None:
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "x:1", "resources": {"limits": {"cpu": 1}}}]}
    # A node of that name does not exist: nothing runs it, and nothing takes it away.
    pod = {"metadata": {"name": "p"}, "spec": {**spec, "nodeName": "no-such-node"}}
    made = (await client.create(client.core("pods"), pod)).ok()
    kept = made["spec"]
    assert kept["containers"][0]["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    assert (kept["serviceAccountName"], kept["serviceAccount"]) == ("default", "default")
    assert (kept["priority"], kept["preemptionPolicy"], kept["enableServiceLinks"]) == (0, "PreemptLowerPriority", True)
    assert made["status"] == {"phase": "Pending", "qosClass": "Burstable"}
    path = client.core("pods", "p")
    command = {"spec": {"containers": [{"name": "c", "command": ["q"]}]}}
    status = (await client.patch(path, command, STRATEGIC)).refused(422)
    assert status["message"].startswith(
        'Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,'
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    image = {"spec": {"containers": [{"name": "c", "image": "z:1"}]}}
    assert (await client.patch(path, image, STRATEGIC)).ok()["spec"]["containers"][0]["image"] == "z:1"
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    patched = (await client.patch(f"{path}/status", running)).ok()
    assert patched["status"]["conditions"] == [{"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}]


async def test_a_deleted_pod_keeps_its_grace(client: Client) -> None:
    """Rule 3: a pod with a deletionTimestamp is still there."""
    spec = {"nodeName": "no-such-node", "terminationGracePeriodSeconds": 40, "containers": [{"name": "c", "image": "x:1"}]}
    await client.create(client.core("pods"), {"metadata": {"name": "p"}, "spec": spec})
    path = client.core("pods", "p")
    ending = (await client.delete(path)).ok()["metadata"]
    assert ending["deletionGracePeriodSeconds"] == 40
    assert ending["deletionTimestamp"]
    longer = (await client.delete(path, gracePeriodSeconds="90")).ok()["metadata"]
    assert longer["deletionGracePeriodSeconds"] == 40
    shorter = (await client.delete(path, gracePeriodSeconds="20")).ok()["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 20
    assert shorter["deletionTimestamp"] < ending["deletionTimestamp"]
    (await client.delete(path, gracePeriodSeconds="0")).ok()
    (await client.get(path)).refused(404)


async def test_secrets(client: Client) -> None:
    path = client.core("secrets")
    made = (await client.create(path, {"metadata": {"name": "q"}, "stringData": {"a": "b"}})).ok()
    assert (made["data"], made["type"]) == ({"a": base64.b64encode(b"b").decode()}, "Opaque")
    assert "stringData" not in made
    status = (await client.create(path, {"metadata": {"name": "r"}, "data": {"a": "%%"}})).refused(400)
    assert status["message"] == 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
    status = (await client.create(path, {"metadata": {"name": "r"}, "data": {"a b": "YQ=="}})).refused(422)
    assert status["message"] == (
        'Secret "r" is invalid: data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '
        "'-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    status = (await client.patch(f"{path}/q", {"type": "x/y"})).refused(422)
    assert status["message"] == 'Secret "q" is invalid: type: Invalid value: "x/y": field is immutable'
    (await client.patch(f"{path}/q", {"immutable": True})).ok()
    status = (await client.patch(f"{path}/q", {"data": {"a": "YQ=="}})).refused(422)
    assert status["message"] == 'Secret "q" is invalid: data: Forbidden: field is immutable when `immutable` is set'


async def test_config_maps(client: Client) -> None:
    path = client.core("configmaps")
    status = (await client.create(path, {"metadata": {"name": "c"}, "data": {"a": 1}})).refused(400)
    assert status["message"] == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
        "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
    )
    await client.create(path, {"metadata": {"name": "c"}, "data": {"a": "1"}})
    assert "data" not in (await client.patch(f"{path}/c", {"data": None})).ok()


async def test_a_headless_service(client: Client) -> None:
    ports = [{"port": 80, "name": "h"}, {"port": 81, "name": "i"}]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": LABELS, "ports": ports}
    made = (await client.create(client.core("services"), {"metadata": {"name": "s"}, "spec": spec})).ok()
    assert made["spec"] == {
        "ports": [
            {"name": "h", "protocol": "TCP", "port": 80, "targetPort": 80},
            {"name": "i", "protocol": "TCP", "port": 81, "targetPort": 81},
        ],
        "selector": LABELS,
        "clusterIP": "None",
        "clusterIPs": ["None"],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "publishNotReadyAddresses": True,
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    assert made["status"] == {"loadBalancer": {}}
    status = (await client.patch(client.core("services", "s"), {"spec": {"clusterIP": "10.96.0.77"}})).refused(422)
    assert status["message"] == 'Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.0.77"]: may not change once set'
    bad = {"metadata": {"name": "u"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}, {"port": 81}]}}
    status = (await client.create(client.core("services"), bad)).refused(422)
    assert status["message"] == 'Service "u" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]'


async def test_a_claim(client: Client) -> None:
    path = client.core("persistentvolumeclaims")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0.5Gi"}}, "storageClassName": "no-such-class"}
    made = (await client.create(path, {"metadata": {"name": "p"}, "spec": spec})).ok()
    assert made["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "512Mi"}},
        "storageClassName": "no-such-class",
        "volumeMode": "Filesystem",
    }
    assert made["status"] == {"phase": "Pending"}
    words = 'PersistentVolumeClaim "p" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests and '
    for change in ({"accessModes": ["ReadWriteMany"]}, {"resources": {"requests": {"storage": "1Mi"}}}):
        status = (await client.patch(f"{path}/p", {"spec": change})).refused(422)
        assert status["message"].startswith(words + "volumeAttributesClassName for bound claims")
    status = (await client.create(path, {"metadata": {"name": "q"}, "spec": {}})).refused(422)
    assert status["message"] == (
        'PersistentVolumeClaim "q" is invalid: [spec.accessModes: Required value: at least 1 access mode is required, '
        "spec.resources[storage]: Required value]"
    )
    many = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "many"}}}
    status = (await client.create(path, {"metadata": {"name": "q"}, "spec": many})).refused(400)
    assert status["message"] == (
        'PersistentVolumeClaim in version "v1" cannot be handled as a PersistentVolumeClaim: '
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )
    default = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    made = (await client.create(path, {"metadata": {"name": "d"}, "spec": default})).ok()
    assert made["spec"]["storageClassName"] == "standard"


async def test_a_network_policy(client: Client) -> None:
    path = client.of("networking.k8s.io", "v1", "networkpolicies")
    egress = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}], "ports": [{"port": 53}]}]
    made = (await client.create(path, {"metadata": {"name": "n"}, "spec": {"podSelector": {"matchLabels": LABELS}, "egress": egress}})).ok()
    assert made["metadata"]["generation"] == 1
    assert made["spec"] == {
        "podSelector": {"matchLabels": LABELS},
        "egress": [{"ports": [{"protocol": "TCP", "port": 53}], "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
        "policyTypes": ["Ingress", "Egress"],
    }
    bad = {"podSelector": {}, "policyTypes": ["X"], "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}
    status = (await client.create(path, {"metadata": {"name": "m"}, "spec": bad})).refused(422)
    assert status["message"] == (
        'NetworkPolicy.networking.k8s.io "m" is invalid: [spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0": '
        'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64), spec.policyTypes[0]: Unsupported value: "X": '
        'supported values: "Ingress", "Egress"]'
    )


JOB = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "localhost/x:latest"}]}}}


async def test_a_cron_job(client: Client) -> None:
    path = client.of("batch", "v1", "cronjobs")
    spec = {"schedule": "*/5 * * * *", "suspend": True, "jobTemplate": {"spec": JOB}}
    made = (await client.create(path, {"metadata": {"name": "cj"}, "spec": spec})).ok()
    template = made["spec"].pop("jobTemplate")
    assert made["spec"] == {
        "schedule": "*/5 * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": True,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    pod = template["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 30)
    assert pod["containers"][0]["imagePullPolicy"] == "Always"
    assert "backoffLimit" not in template["spec"]
    bad = {"schedule": "61 * * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}}}
    status = (await client.create(path, {"metadata": {"name": "ck"}, "spec": bad})).refused(422)
    causes = {cause["field"]: cause["message"] for cause in status["details"]["causes"]}
    assert causes["spec.schedule"].startswith('Invalid value: "61 * * * *": ')
    words = 'Required value: valid values: "OnFailure", "Never"'
    assert causes["spec.jobTemplate.spec.template.spec.restartPolicy"] == words


async def test_a_job(client: Client) -> None:
    path = client.of("batch", "v1", "jobs")
    made = (await client.create(path, {"metadata": {"name": "j"}, "spec": {"suspend": True, **JOB}})).ok()
    uid = made["metadata"]["uid"]
    named = {"controller-uid": uid, "job-name": "j", "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "j"}
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"] == named
    assert {key: made["spec"][key] for key in ("parallelism", "completions", "backoffLimit", "completionMode")} == {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
    }
    status = (await client.patch(f"{path}/j", {"spec": {"completions": 3}})).refused(422)
    assert status["message"] == 'Job.batch "j" is invalid: spec.completions: Invalid value: 3: field is immutable'


async def test_leases_and_events(client: Client) -> None:
    path = client.of("coordination.k8s.io", "v1", "leases")
    status = (await client.create(path, {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-11-24T07:00:00Z"}})).refused(400)
    assert status["message"] == (
        'Lease in version "v1" cannot be handled as a Lease: parsing time "2026-11-24T07:00:00Z" as '
        '"2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
    )
    status = (await client.create(path, {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}})).refused(422)
    assert (
        status["message"] == 'Lease.coordination.k8s.io "l" is invalid: spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'
    )
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-11-24T07:00:00.000000Z"}
    assert (await client.create(path, {"metadata": {"name": "l"}, "spec": spec})).ok()["spec"] == spec
    about = {"kind": "X", "name": "y", "namespace": client.namespace}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "r", "message": "m", "type": "Normal"}
    made = (await client.create(client.core("events"), event)).ok()
    assert (made["firstTimestamp"], made["eventTime"], made["source"]) == (None, None, {})
    found = (await client.get(client.core("events"), fieldSelector="involvedObject.name=y,involvedObject.kind=X,reason=r")).ok()
    assert [item["metadata"]["name"] for item in found["items"]] == ["e"]
    other = {**event, "metadata": {"name": "f"}, "involvedObject": {**about, "namespace": "other"}}
    status = (await client.create(client.core("events"), other)).refused(422)
    assert status["message"] == 'Event "f" is invalid: involvedObject.namespace: Invalid value: "other": does not match event.namespace'


async def test_a_strategic_patch_merges_lists_by_their_keys(client: Client) -> None:
    path = client.of("apps", "v1", "statefulsets")
    await client.create(path, stateful_set())
    containers = [
        {"name": "c", "image": "y", "env": [{"name": "B", "value": "2"}], "ports": [{"containerPort": 81}]},
        {"name": "extra", "image": "z:1"},
    ]
    patch = {"spec": {"template": {"spec": {"containers": containers, "volumes": [{"name": "e", "$patch": "delete"}]}}}}
    spec = (await client.patch(f"{path}/s", patch, STRATEGIC)).ok()["spec"]["template"]["spec"]
    by_name = {container["name"]: container for container in spec["containers"]}
    assert sorted(by_name) == ["c", "extra"]
    assert by_name["c"]["image"] == "y"
    assert [item["name"] for item in sorted(by_name["c"]["env"], key=lambda item: item["name"])] == ["A", "B"]
    assert sorted(port["containerPort"] for port in by_name["c"]["ports"]) == [80, 81]
    assert [volume["name"] for volume in spec["volumes"]] == ["s", "cm", "h", "pv", "pj"]
    gone = {"spec": {"template": {"spec": {"containers": [{"name": "extra", "$patch": "delete"}]}}}}
    spec = (await client.patch(f"{path}/s", gone, STRATEGIC)).ok()["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["c"]
