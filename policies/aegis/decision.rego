# METADATA
# title: Decision
# description: The frame. It composes what the rules say into one decision document, and allows only what every rule grants.
package aegis

import data.aegis.caller
import data.rules

# METADATA
# entrypoint: true
decision := document

# The compiler takes entrypoints out of the Rego that a bundle carries; what the trace of `aegis explain` runs is this.
document := {
	"allow": allow,
	"deny": deny,
	"route": route,
	"parameters": parameters,
	"tools": {"remove": remove},
	"redact": redact,
	"rate": rate,
	"budgets": budgets,
	"audit": audit,
	"acting_for": acting_for,
	"cache": null,
	"rules": ids,
}

# `allow` is positive: with a fact missing, a `granted` is missing, and the answer is no. The rules below must be there
# and grant; any other folder under rules/ has its say through `withheld` and `refusals` without a change here.
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
	count(withheld) == 0
	count(refusals) == 0
}

withheld contains name if {
	some name
	rules[name].granted == false
}

refusals contains refusal if some refusal in rules[_].deny

ids := sort([id | some id in rules[_].fired]) if allow

ids := sort({refusal.rule | some refusal in deny}) if not allow

deny := [] if allow

deny := array.slice(sorted_refusals, 0, 32) if {
	not allow
	count(refusals) > 0
}

# METADATA
# title: Nothing grants it
# description: A fact that the rules need is missing, or a rule grants nothing and says no more.
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

# By rule: the first is the one that the caller is told. A text over the schema's bound would be no decision at all.
sorted_refusals := [object.union(refusal, clipped) |
	some id in sort({refusal.rule | some refusal in refusals})
	some refusal in sort(refusals)
	refusal.rule == id
	clipped := {"message": substring(refusal.message, 0, 512), "hint": substring(refusal.hint, 0, 512)}
]

# Obligations of a refusal are not executed, but every field must be there.
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

default budgets := []

budgets := rules.budgets.budgets if allow

default acting_for := null

acting_for := caller.acting_for if allow

default audit := {"content": "none", "retention_days": 30}

audit := rules.audit.audit
