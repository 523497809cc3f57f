"""The rules of StatefulSet, Job and CronJob: defaults, what cannot change, faults. Seen on a 1.36 API server (tests/contract/)."""

from __future__ import annotations

from typing import Any

from .errors import FieldError, Shown
from .podspec import default_template, required, supported, validate_pod_spec
from .resources import Object
from .selectors import from_label_selector
from .strategies import IMMUTABLE, WithStatus


class StatefulSet(WithStatus):
    initial_status: Object = {"replicas": 0, "availableReplicas": 0}  # noqa: RUF012 copied before it is used

    CHANGEABLE = (
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    )

    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        default_template(spec.setdefault("template", {}))
        spec.setdefault("replicas", 1)
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        spec.setdefault("revisionHistoryLimit", 10)
        retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        retention.setdefault("whenDeleted", "Retain")
        retention.setdefault("whenScaled", "Retain")

    def validate(self, item: Object) -> list[FieldError]:
        spec = item["spec"]
        faults = supported("spec.podManagementPolicy", spec["podManagementPolicy"], ("OrderedReady", "Parallel"))
        faults += supported("spec.updateStrategy.type", spec["updateStrategy"]["type"], ("OnDelete", "RollingUpdate"))
        if spec["replicas"] < 0:
            faults.append(FieldError("FieldValueInvalid", "spec.replicas", "must be greater than or equal to 0", spec["replicas"]))
        faults += validate_selector(spec)
        faults += validate_pod_spec(spec["template"]["spec"], "spec.template.spec")
        return faults + supported("spec.template.spec.restartPolicy", spec["template"]["spec"].get("restartPolicy"), ("Always",))

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource == "status":
            return []
        faults = self.validate(new)
        one, two = ({key: value for key, value in item["spec"].items() if key not in self.CHANGEABLE} for item in (new, old))
        if one != two:
            why = (
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
                " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
            )
            faults.append(FieldError("FieldValueForbidden", "spec", why))
        return faults


def validate_selector(spec: Object) -> list[FieldError]:
    faults = []
    selector = spec.get("selector")
    if not selector:
        faults.append(required("spec.selector"))
    labels = spec["template"]["metadata"].get("labels")
    if not selector or not from_label_selector(selector).matches({"metadata": {"labels": labels}}):
        why = "`selector` does not match template `labels`"
        shown: Any = Shown("null") if labels is None else labels
        faults.append(FieldError("FieldValueInvalid", "spec.template.metadata.labels", why, shown))
    return faults


class Job(WithStatus):
    initial_status: Object = {}  # noqa: RUF012 copied before it is used

    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        default_template(spec.setdefault("template", {}))
        default_job(spec)

    def prepare_create(self, item: Object) -> None:
        super().prepare_create(item)
        spec, meta = item["spec"], item["metadata"]
        if spec.get("manualSelector"):
            return
        named = {"controller-uid": meta["uid"], "job-name": meta.get("name", "")}
        labels = {**named, **{f"batch.kubernetes.io/{key}": value for key, value in named.items()}}
        meta["labels"] = {**(meta.get("labels") or {}), **labels}
        spec["template"]["metadata"]["labels"] = {**(spec["template"]["metadata"].get("labels") or {}), **labels}
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}
        spec["manualSelector"] = False

    def validate(self, item: Object) -> list[FieldError]:
        return validate_job(item["spec"], "spec")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        if subresource:
            return []
        faults = self.validate(new)
        one, two = new["spec"], old["spec"]
        for word in ("completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"):
            if one.get(word) != two.get(word):
                faults.append(FieldError("FieldValueInvalid", f"spec.{word}", IMMUTABLE, one.get(word)))
        return faults


def default_job(spec: Object) -> None:
    spec.setdefault("completions", 1)
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")


def validate_job(spec: Object, path: str) -> list[FieldError]:
    faults = []
    template = spec["template"]["spec"]
    if template.get("restartPolicy") == "Always":
        faults.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    for word in ("completions", "parallelism", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if int(spec.get(word) or 0) < 0:
            faults.append(FieldError("FieldValueInvalid", f"{path}.{word}", "must be greater than or equal to 0", spec[word]))
    return faults + validate_pod_spec(template, f"{path}.template.spec")


class CronJob(WithStatus):
    initial_status: Object = {}  # noqa: RUF012 copied before it is used

    def default(self, item: Object) -> None:
        spec = item.setdefault("spec", {})
        spec.setdefault("concurrencyPolicy", "Allow")
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        default_template(template.setdefault("spec", {}).setdefault("template", {}))

    def validate(self, item: Object) -> list[FieldError]:
        spec = item["spec"]
        faults = _validate_schedule(spec.get("schedule") or "")
        if len(item["metadata"].get("name") or "") > 52:
            faults.append(FieldError("FieldValueInvalid", "metadata.name", "must be no more than 52 characters", item["metadata"]["name"]))
        faults += supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], ("Allow", "Forbid", "Replace"))
        for word in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            if int(spec.get(word) or 0) < 0:
                faults.append(FieldError("FieldValueInvalid", f"spec.{word}", "must be greater than or equal to 0", spec[word]))
        return faults + validate_job(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")

    def validate_update(self, new: Object, old: Object, subresource: str) -> list[FieldError]:
        return [] if subresource else self.validate(new)


def _validate_schedule(text: str) -> list[FieldError]:
    from croniter import CroniterError, croniter

    if not text:
        return [required("spec.schedule")]
    try:
        if len(text.split()) != 5 and not text.startswith("@"):
            why = f"expected exactly 5 fields, found {len(text.split())}: {text.split()}".replace("'", "").replace(",", "")
            return [FieldError("FieldValueInvalid", "spec.schedule", why, text)]
        croniter(text)
    except (CroniterError, ValueError, KeyError) as error:
        return [FieldError("FieldValueInvalid", "spec.schedule", str(error), text)]
    return []
