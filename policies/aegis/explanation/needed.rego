# For each rule that denied, what would have satisfied it. Entries of one rule are alternatives; every rule that denied must
# be satisfied.
package aegis.explanation

import data.aegis
import data.aegis.caller
import data.rules

needed := array.slice(
	[entry |
		some rule in sort({refusal.rule | some refusal in aegis.deny})
		some need in object.get(needs, rule, [stated(rule)])
		entry := {"rule": rule, "need": need.need, "one_of": array.slice(need.one_of, 0, 24)}
	],
	0, 64,
)

# A rule that is not listed here says it itself.
stated(rule) := {"need": words, "one_of": []} if {
	words := [text | some refusal in aegis.deny; refusal.rule == rule; text := own_words(refusal)][0]
}

own_words(refusal) := refusal.hint if refusal.hint != ""

own_words(refusal) := $"That this no longer holds: {refusal.message}" if refusal.hint == ""

need(words, names) := {"need": words, "one_of": names}

roles_with(field, name) := [role | some role in sort(object.keys(data.roles)); data.roles[role][field][name] == true]

# --- Access

needs["access.endpoint_not_allowed"] := [need(
	$"a role that may use {input.request.endpoint} (endpoints in policies/roles/data.yaml)",
	roles_with("endpoints", input.request.endpoint),
)]

needs["access.acting_not_allowed"] := [
	need("no x-aegis-user header", []),
	need(
		"a role that may act for users (act_for_users in policies/roles/data.yaml)",
		[name | some name in sort(object.keys(data.roles)); data.roles[name].act_for_users == true],
	),
]

needs["access.unknown_organization"] := [need(
	$"an entry {input.caller.org} in policies/organizations/data.yaml, or a credential of an organisation that is there",
	[],
)]

needs["access.team_required"] := [need("a credential with a team of its organisation", teams)]

needs["access.unknown_team"] := [need("a credential with a team that its organisation has", teams)]

teams := sort(object.keys(object.get(caller.organization, "teams", {})))

needs["access.unknown_role"] := [need("a credential with a known role", sort(object.keys(data.roles)))]

needs[rule] := [need("a workflow that this caller may use, in x-aegis-workflow", caller.usable_workflows)] if {
	some rule in ["access.workflow_required", "access.unknown_workflow", "access.workflow_outside_credential"]
}

needs["access.workflow_not_allowed"] := [
	need("a workflow that this caller may use, in x-aegis-workflow", caller.usable_workflows),
	need(
		$"a role that may use the workflow {caller.workflow_name} (roles in policies/workflows/data.yaml)",
		[name | some name in sort(object.keys(caller.workflow.roles)); caller.workflow.roles[name] == true],
	),
]

needs["access.unknown_institution"] := [need(
	"a known institution in x-aegis-tags",
	sort(object.keys(caller.organization.institutions)),
)]

needs["access.unknown_course"] := [need(
	$"a course of {input.purpose.tags.institution} in x-aegis-tags",
	sort(object.keys(caller.organization.institutions[input.purpose.tags.institution].courses)),
)]

# --- Models

needs[rule] := array.concat(automatic, [a_model]) if {
	some rule in ["models.unknown_model", "models.model_required", "models.model_not_for_endpoint", "models.model_retired"]
}

needs["models.model_not_allowed"] := array.concat(automatic, [
	a_model,
	need(
		$"a role that may use class {class} (classes in policies/roles/data.yaml)",
		roles_with("classes", class),
	),
]) if {
	class := data.models[input.request.model].class
}

# Names that would take this very request, "auto" aside.
a_model := need("a model that this caller may name", fitting)

fitting := sort({name |
	some name in caller.usable_models
	some upstream, _ in data.models[name].upstreams
	candidate := {"model": name, "upstream": upstream}
	count([check | some check in named_checks; failure(check, candidate)]) == 0
})

default automatic := []

automatic := [need("the model \"auto\", which leaves the choice to the policy", [])] if {
	caller.chats
	input.request.model != "auto"
}

# --- Routing

needs["routing.no_upstream"] := [
	a_model,
	need(
		$"an upstream that {input.caller.org} may use, is configured, and can be asked for {input.request.endpoint} with the model",
		sort({candidate.upstream | some candidate in meant; is_string(candidate.upstream)}),
	),
]

needs["routing.prompt_too_long"] := [
	need($"a shorter prompt than about {input.content.tokens_estimate} tokens", []),
	need("a model whose context is large enough", fitting),
]

needs["routing.modality_not_supported"] := [
	need("a request without that kind of content", []),
	need("a model that reads it", fitting),
]

needs["routing.uninspected_content"] := [
	need("a request of text alone", []),
	need("a model at an upstream to which the caller may send it", fitting),
	need("a role that may send it (uninspected in policies/roles/data.yaml)", senders),
]

# Roles that may send each part that nothing inspects to one of the upstreams meant.
senders := sort({name |
	some name in sort(object.keys(data.roles))
	some candidate in meant
	every part in input.content.uninspected {
		data.roles[name].uninspected[part.kind][candidate.upstream] == true
	}
})

# --- The rest

needs["content.card_number"] := [need("a prompt without a card number", [])]

needs["parameters.invalid_max_tokens"] := [need("an output cap of at least 1 token, or none", [])]

needs["aegis.not_granted"] := [need(
	"that these rules grant it, which refused without a reason: a fact that they need is missing or of another kind",
	sort({name | some name; rules[name].granted == false}),
)]
