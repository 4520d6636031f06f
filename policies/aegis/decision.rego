# METADATA
# title: Decision
# description: The frame. It composes what the rules say into one decision document and allows only what every part grants.
package aegis

import data.rules

# METADATA
# entrypoint: true
decision := {
	"allow": allow,
	"deny": deny,
	"route": route,
	"parameters": parameters,
	"tools": {"remove": remove},
	"redact": redact,
	"rate": rate,
	"budgets": caps,
	"audit": record,
	"cache": null,
	"rules": ids,
}

# `allow` is positive: with a fact missing, a `granted` is missing, and the answer is no. Never `count(deny) == 0` alone.
default allow := false

allow if {
	rules.access.granted
	rules.models.granted
	rules.routing.granted
	rules.content.granted
	rules.parameters.granted
	rules.tools.granted
	rules.limits.granted
	rules.budgets.granted
	rules.audit.granted
	count(refusals) == 0
}

refusals := union({
	rules.access.deny,
	rules.models.deny,
	rules.routing.deny,
	rules.content.deny,
	rules.parameters.deny,
})

deny := [] if allow

deny := array.slice([shown(refusal) | some refusal in sort_by_rule], 0, 32) if {
	not allow
	count(refusals) > 0
}

# METADATA
# title: Nothing grants it
# description: A fact that the rules need is missing, and no rule says more.
# custom:
#   code: not_granted
deny := [{
	"rule": "aegis.not_granted",
	"code": "not_granted",
	"message": "No rule of the policy allows this request.",
	"hint": "",
}] if {
	not allow
	count(refusals) == 0
}

sort_by_rule := [refusal |
	some id in sort({refusal.rule | some refusal in refusals})
	some refusal in refusals
	refusal.rule == id
]

# Longer than the schema allows would be no decision at all.
shown(refusal) := object.union(refusal, {
	"message": substring(refusal.message, 0, 512),
	"hint": substring(refusal.hint, 0, 512),
})

fired := union({
	rules.routing.fired,
	rules.content.fired,
	rules.tools.fired,
	rules.limits.fired,
	rules.budgets.fired,
	rules.parameters.fired,
	rules.audit.fired,
})

ids := sort(fired) if allow

ids := sort({refusal.rule | some refusal in deny}) if not allow

# Obligations of a refusal are never executed, but every field must be there.
default route := {"candidates": [], "reason": "", "experiment": null, "mirror": null}

route := rules.routing.route if allow

default parameters := {}

parameters := rules.parameters.parameters if allow

default remove := []

remove := rules.tools.remove if allow

default redact := []

redact := rules.content.redact

default rate := {"tier": "none", "limits": []}

rate := rules.limits.rate

default caps := []

caps := rules.budgets.budgets if allow

default record := {"content": "none", "retention_days": 30}

record := rules.audit.audit
