# METADATA
# title: Explanation
# description: Every model that a request could have meant and why each one lost, and for a refusal what would have been needed. It says in words what the rules decide; a test holds the two together. Nothing imports it but aegis/explain.
package aegis.explanation

import data.aegis
import data.aegis.caller
import data.rules.routing

# A bundle may have any number of models, a reader has not.
considered := array.slice(array.flatten([candidates, losers, others]), 0, 64)

# --- What is tried

default allowed := false

allowed := aegis.allow

# In the order of the decision.
candidates := [entry |
	allowed
	some n, candidate in routing.candidates
	entry := {
		"model": candidate.model,
		"upstream": candidate.upstream,
		"verdict": verdict(n),
		"why": array.concat([place(n, candidate)], array.concat(proven(candidate), unproven(candidate))),
	}
]

verdict(n) := "chosen" if n == 0

verdict(n) := "fallback" if n > 0

place(0, _) := routing.reason

place(n, candidate) := "tried when those before it fail" if {
	n > 0
	routing.speaks(candidate.upstream)
}

place(n, candidate) := $"tried when those before it fail; its upstream does not speak the caller's API" if {
	n > 0
	not routing.speaks(candidate.upstream)
}

# --- What is not

losers := [entry |
	some candidate in meant
	not tried(candidate)
	entry := {"model": candidate.model, "upstream": candidate.upstream, "verdict": "lost", "why": reasons(candidate)}
]

tried(candidate) if {
	allowed
	candidate in routing.candidates
}

# Pairs of model and upstream: of a named model its upstreams, for "auto" the pool of the task and then the others.
meant := array.concat(pool, elsewhere)

default pool := []

pool := routing.pool

default elsewhere := []

elsewhere := [candidate |
	some class in sort(object.keys(data.routing.pools))
	some candidate in data.routing.pools[class]
	not candidate in pool
] if {
	routing.auto
	caller.chats
}

# A model that the data do not know has no upstream.
elsewhere := [{"model": input.request.model, "upstream": null}] if {
	not routing.auto
	not caller.modelless
	not data.models[input.request.model]
}

reasons(candidate) := array.slice(failed, 0, 16) if {
	failed := [text | some check in checks; text := failure(check, candidate)]
	count(failed) > 0
}

reasons(candidate) := ["the request was refused before any model was asked"] if {
	not allowed
	count([check | some check in checks; failure(check, candidate)]) == 0
}

# The most telling first: what no other request would change, then what this one asks for, then the state of the moment.
checks := [
	"known", "configured", "served", "organization", "class", "retired", "operation", "upstream_operation",
	"crowded", "measured", "pool", "context", "modality", "inspection", "down",
]

failure("known", candidate) := "the model is not in policies/models/data.yaml" if {
	not data.models[candidate.model]
}

failure("configured", candidate) := $"upstream {candidate.upstream} is not configured at this gateway" if {
	is_string(candidate.upstream)
	not input.upstreams[candidate.upstream]
}

failure("served", candidate) := $"upstream {candidate.upstream} does not serve the model" if {
	model := data.models[candidate.model]
	not model.upstreams[candidate.upstream]
}

failure("organization", candidate) := $"organisation {input.caller.org} may not use upstream {candidate.upstream}" if {
	is_string(candidate.upstream)
	not organization_uses(candidate.upstream)
}

organization_uses(upstream) if caller.organization.upstreams[upstream]

failure("class", candidate) := $"{holders} may not use class {model.class}" if {
	model := data.models[candidate.model]
	not model.class in caller.classes
}

failure("retired", candidate) := $"retired on {model.deprecation_date}" if {
	model := data.models[candidate.model]
	is_string(model.deprecation_date)
	not caller.current(model)
}

failure("operation", candidate) := $"the model does not answer {input.request.endpoint}" if {
	model := data.models[candidate.model]
	endpoints := object.get(model, "endpoints", caller.chat_family)
	not operation_in(endpoints)
}

failure("upstream_operation", candidate) := $"upstream {candidate.upstream} cannot be asked for {input.request.endpoint}" if {
	upstream := input.upstreams[candidate.upstream]
	not operation_in(upstream.endpoints)
}

operation_in(endpoints) if input.request.endpoint in endpoints

failure("pool", candidate) := $"not in the pool of class {class} that this task gets" if {
	routing.auto
	class := routing.class
	not candidate in pool
}

failure("context", candidate) := $"its context of {room} tokens is too small for about {input.content.tokens_estimate}" if {
	room := data.models[candidate.model].context_tokens * routing.texts
	input.content.tokens_estimate > room
}

failure("modality", candidate) := $"it reads no {concat(", no ", unread)}" if {
	not routing.plain
	model := data.models[candidate.model]
	unread := [modality | some modality in input.content.modalities; not modality in model.modalities]
	count(unread) > 0
}

failure("inspection", candidate) := $"{holders} may not send {concat(", ", kinds)}, which nothing inspects, to {candidate.upstream}" if {
	is_string(candidate.upstream)
	kinds := sort({part.kind |
		some part in input.content.uninspected
		not routing.sendable(part.kind, candidate.upstream)
	})
	count(kinds) > 0
}

# One that is down is tried when there is no other.
failure("down", candidate) := $"upstream {candidate.upstream} is down" if {
	input.upstreams[candidate.upstream].state == "down"
	not routing.last_resort
}

# A decision has room for so many.
failure("crowded", candidate) := "eight others come before it" if {
	count(routing.candidates) == 8
	candidate in array.concat(routing.ahead, routing.others)
	not candidate in routing.candidates
}

# What evaluations say of it: for the choice, or why nothing that counts.
proven(candidate) := [text |
	measurement := data.quality[routing.task][candidate.model]
	routing.auto
	routing.counts(measurement)
	routing.good_enough(measurement)
	text := $"measured {measurement.quality} at {measurement.usd_per_1000_tasks} USD for 1,000 tasks"
]

unproven(candidate) := [text | text := failure("measured", candidate)]

failure("measured", candidate) := concat("; ", texts) if {
	routing.auto
	measurements := data.quality[routing.task]
	texts := shortcomings(object.get(measurements, candidate.model, null))
	count(texts) > 0
}

shortcomings(null) := [$"not measured for {routing.task} tasks"]

shortcomings(measurement) := array.flatten([
	[$"only {measurement.samples} graded tasks" | measurement.samples < data.routing.quality.min_samples],
	[$"measurement ended on {measurement.valid_until}" | measurement.valid_until < caller.today],
	[$"measured {measurement.quality}, {routing.below(measurement) / 10000} below the best" |
		routing.counts(measurement)
		routing.below(measurement) > 0
		not routing.good_enough(measurement)
	],
]) if {
	is_object(measurement)
}

holders := $"role {input.caller.roles[0]}" if count(caller.roles) == 1

holders := $"roles {concat(", ", input.caller.roles)}" if count(caller.roles) > 1

holders := "a caller without a known role" if count(caller.roles) == 0

# --- What the caller of a refused model could name instead

others := [entry |
	not allowed
	some name in instead
	some upstream in sort(object.keys(data.models[name].upstreams))
	candidate := {"model": name, "upstream": upstream}
	not candidate in meant
	count([check | some check in named_checks; failure(check, candidate)]) == 0
	entry := {"model": name, "upstream": upstream, "verdict": "lost", "why": ["the caller may name it, and did not"]}
]

named_checks := [check | some check in checks; not check in {"pool", "measured"}]

# Models by name that would take this very request.
default instead := []

instead := caller.usable_models if model_refused

default model_refused := false

model_refused if {
	some refusal in aegis.deny
	some beginning in ["models.", "routing."]
	startswith(refusal.rule, beginning)
}
