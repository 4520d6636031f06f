# METADATA
# title: Routing
# description: Which models are tried, in which order. A named model is honoured as it is; "auto" goes by the kind of task.
package rules.routing

import data.aegis.caller
import data.rules.experiments
import data.rules.mirrors

default granted := false

granted if caller.modelless

granted if {
	count(candidates) > 0
	is_string(caller.today)
	is_string(input.request.dialect)
}

route := {
	"candidates": candidates,
	"reason": reason,
	"experiment": experiments.exposure,
	"mirror": mirrors.mirror,
}

default auto := false

auto if input.request.model == "auto"

# --- The kind of task

signals := input.content.signals

# METADATA
# title: Closed question
# description: Multiple choice and yes/no questions need no strong model.
# custom:
#   code: closed
task := "closed" if closed

# METADATA
# title: Simple text
# description: Short, with nothing asked and nothing to solve.
# custom:
#   code: simple
task := "simple" if {
	not closed
	simple
}

# METADATA
# title: Open task
# description: Essays, explanations and open questions, and all that is not told to be something else.
# custom:
#   code: open
task := "open" if {
	open
	input.content.complexity < data.routing.thresholds.hard_complexity
}

# METADATA
# title: Hard open task
# description: An open task whose complexity reaches routing.thresholds.hard_complexity.
# custom:
#   code: hard
task := "hard" if {
	open
	input.content.complexity >= data.routing.thresholds.hard_complexity
}

default closed := false

closed if signals.multiple_choice

closed if signals.yes_no

default open := false

# Every signal must be there: a missing one makes the task unknown, and so the request refused.
open if {
	signals.multiple_choice == false
	signals.yes_no == false
	is_boolean(signals.code)
	is_boolean(signals.math)
	is_number(signals.words)
	is_number(signals.question_marks)
	is_number(signals.instruction_verbs)
	not simple
}

default simple := false

simple if {
	input.content.complexity < data.routing.thresholds.simple_complexity
	signals.words <= data.routing.thresholds.simple_words
	signals.question_marks == 0
	signals.instruction_verbs == 0
	signals.code == false
	signals.math == false
}

# --- The class of model

preferred := object.get(object.get(caller.workflow, "classes", {}), task, data.routing.classes[task])

permitted := preferred if preferred in caller.classes

permitted := data.routing.lower[preferred] if not preferred in caller.classes

class := permitted if thrifty

class := data.routing.lower[permitted] if not thrifty

default thrifty := false

# Every budget that concerns the caller is known to be below the mark.
thrifty if {
	is_array(input.spend)
	every budget in input.spend {
		budget.micro_usd + budget.reserved_micro_usd < budget.cap_micro_usd * data.routing.saving_from
	}
}

# --- Measured quality

# The candidates of all pools whose quality for this kind of task is known, with what was measured. Of the upstreams only
# that they are configured: while the best model is down nothing else becomes the measure, and so no fact that is missing
# makes a dearer model good enough.
rated := [{"candidate": candidate, "measurement": measurement} |
	auto
	some measurement_of in [data.quality[task]]
	some pool_class, members in data.routing.pools
	in_reach(pool_class)
	some candidate in members
	measurement := measurement_of[candidate.model]
	counts(measurement)
	input.upstreams[candidate.upstream]
	permits(candidate)
]

# Enough graded tasks, and not too old.
counts(measurement) if {
	measurement.samples >= data.routing.quality.min_samples
	measurement.valid_until >= caller.today
}

# A class that the workflow asks for is the least it gets, and a budget that runs low the most: beyond it nothing is
# looked at.
in_reach(pool_class) if {
	not wanted_above(pool_class)
	not saved_from(pool_class)
}

wanted_above(pool_class) if {
	caller.workflow.classes[task]
	pool_class != class
	pool_class in downwards
}

saved_from(pool_class) if {
	not thrifty
	not pool_class in downwards
}

# The class and those below it.
downwards := {class, data.routing.lower[class], data.routing.lower[data.routing.lower[class]]}

best := max([entry.measurement.quality | some entry in rated])

# How far below the best, in ten thousandths: whole numbers compare the same everywhere.
below(measurement) := round((best - measurement.quality) * 10000)

good_enough(measurement) if below(measurement) <= round(data.routing.quality.margin * 10000)

# METADATA
# title: Measured quality
# description: Evaluations measured models for this kind of task (policies/quality/data.yaml). Those within routing.quality.margin of the best come first, the cheapest before the others.
# custom:
#   code: measured
measured := [{"model": model, "upstream": upstream} |
	some [_, _, model, _, upstream] in sort({rank |
		some entry in rated
		good_enough(entry.measurement)
		candidate := entry.candidate
		input.upstreams[candidate.upstream].state != "down"
		fits(candidate)
		rank := [
			entry.measurement.usd_per_1000_tasks, 0 - entry.measurement.quality,
			candidate.model, distance(candidate.upstream), candidate.upstream,
		]
	})
]

# Of one model the upstreams first that speak the caller's API.
distance(upstream) := 0 if speaks(upstream)

distance(upstream) := 1 if not speaks(upstream)

fired contains "routing.measured" if measured != []

# --- The candidates

pool := data.routing.pools[class] if {
	auto
	caller.chats
}

pool := [{"model": input.request.model, "upstream": upstream} |
	some upstream in sort(object.keys(data.models[input.request.model].upstreams))
] if {
	not auto
}

# Those that can take this request. Upstreams that are down are tried only when there is no other.
up := [candidate |
	some candidate in pool
	input.upstreams[candidate.upstream].state != "down"
	fits(candidate)
]

tried := up if not last_resort

tried := [candidate | some candidate in pool; input.upstreams[candidate.upstream]; fits(candidate)] if last_resort

default last_resort := false

last_resort if {
	count(up) == 0
	ahead == []
}

fits(candidate) if {
	input.request.endpoint in input.upstreams[candidate.upstream].endpoints
	permits(candidate)
}

# What the data and the request say, and no upstream's state: it does not change from one second to the next.
permits(candidate) if {
	data.models[candidate.model].class in caller.classes
	suits(candidate)
}

suits(candidate) if {
	model := data.models[candidate.model]
	model.upstreams[candidate.upstream]
	input.request.endpoint in object.get(model, "endpoints", caller.chat_family)
	caller.organization.upstreams[candidate.upstream]
	caller.current(model)
	input.content.tokens_estimate <= model.context_tokens * texts
	reads(model, candidate.upstream)
}

# Where a model could be asked now, whatever the role: upstreams by name.
sites(model) := [{"model": model, "upstream": upstream} |
	some upstream in sort(object.keys(data.models[model].upstreams))
	input.upstreams[upstream].state != "down"
	input.request.endpoint in input.upstreams[upstream].endpoints
	suits({"model": model, "upstream": upstream})
]

# The same for a model of a class that the caller may use.
places(model) := sites(model) if data.models[model].class in caller.classes

# How many contexts a request may fill: embeddings and completions take a list of texts, each as long as the context.
texts := 1 if caller.chats

texts := max([1, input.content.messages]) if not caller.chats

candidates := array.concat(native, foreign) if ahead == []

candidates := array.slice(array.concat(ahead, others), 0, 8) if ahead != []

# Before the pool come the models of an experiment's arm, and what measurements prefer.
ahead := array.concat(experiments.lead, [candidate | some candidate in measured; not candidate in experiments.lead])

others := [candidate | some candidate in array.concat(native, foreign); not candidate in ahead]

native := [candidate | some candidate in tried; speaks(candidate.upstream)]

foreign := [candidate | some candidate in tried; not speaks(candidate.upstream)]

speaks(upstream) if input.request.dialect in input.upstreams[upstream].dialects

default plain := false

# Plain text that was inspected may go anywhere.
plain if {
	input.content.modalities == ["text"]
	input.content.uninspected == []
}

reads(_, _) if plain

reads(model, upstream) if {
	not plain
	is_array(input.content.modalities)
	every modality in input.content.modalities { modality in model.modalities }
	inspected(upstream)
}

# What no detector could read must be allowed for a role, by kind and upstream.
inspected(upstream) if {
	is_array(input.content.uninspected)
	every part in input.content.uninspected {
		some role in caller.roles
		role.uninspected[part.kind][upstream]
	}
}

reason := basis if experiments.exposure == null

reason := $"{basis}; experiment {exposure.id}, arm {exposure.arm}" if {
	exposure := experiments.exposure
	is_object(exposure)
}

basis := "model named by the caller" if not auto

basis := $"{task} task: {class}" if {
	chosen_by_class
	class == preferred
}

basis := $"{task} task: {preferred}, but the role may not use it: {class}" if {
	chosen_by_class
	thrifty
	class != preferred
}

basis := $"{task} task: {preferred}, but a budget is nearly used: {class}" if {
	chosen_by_class
	not thrifty
	class != preferred
}

basis := $"{task} task: cheapest of {count(measured)} within {data.routing.quality.margin} of the best measured quality" if {
	auto
	measured != []
}

default chosen_by_class := false

chosen_by_class if {
	auto
	measured == []
}

fired contains $"routing.{task}" if auto

# METADATA
# title: Named model
# description: The caller names a model that its roles may use, so it is honoured, without substitutes. Embeddings and legacy completions always name one.
# custom:
#   code: named_model
fired contains "routing.named_model" if {
	not auto
	count(candidates) > 0
}

# METADATA
# title: Saving
# description: A budget of the caller has reached routing.saving_from of its cap, so "auto" chooses one class lower.
# custom:
#   code: saving
fired contains "routing.saving" if {
	auto
	not thrifty
}

# --- Why there is no candidate

default stuck := false

stuck if {
	not caller.modelless
	candidates == []
	count(pool) > 0
}

# The part of the pool that is served here at all.
served := [candidate |
	some candidate in pool
	input.request.endpoint in input.upstreams[candidate.upstream].endpoints
	caller.organization.upstreams[candidate.upstream]
]

# METADATA
# title: No upstream
# description: No configured upstream that the organisation may use serves a model for this request and can be asked for its operation.
# custom:
#   code: no_upstream
deny contains {
	"rule": "routing.no_upstream",
	"code": "no_upstream",
	"message": "No upstream that this organisation may use serves a model for this request.",
	"hint": $"Models for this caller: {concat(", ", array.slice(caller.usable_models, 0, 10))}.",
} if {
	stuck
	count(served) == 0
}

# METADATA
# title: Prompt too long
# description: The prompt is larger than the context of every model it could go to.
# custom:
#   code: prompt_too_long
deny contains {
	"rule": "routing.prompt_too_long",
	"code": "prompt_too_long",
	"message": $"The prompt has about {input.content.tokens_estimate} tokens, more than the model can read.",
	"hint": $"At most {max(contexts)} tokens.",
} if {
	stuck
	contexts := [context |
		some candidate in served
		context := data.models[candidate.model].context_tokens * texts
	]
	input.content.tokens_estimate > max(contexts)
}

# METADATA
# title: Content that no model here reads
# description: The request has a kind of content that no model it could go to takes as input.
# custom:
#   code: modality_not_supported
deny contains {
	"rule": "routing.modality_not_supported",
	"code": "modality_not_supported",
	"message": $"No model for this request reads {modality}.",
	"hint": "",
} if {
	stuck
	count(served) > 0
	some modality in input.content.modalities
	every candidate in served { not modality in data.models[candidate.model].modalities }
}

# METADATA
# title: Content that nothing inspected
# description: A part that no detector reads may go to no upstream it could go to, for any role of the caller.
# custom:
#   code: uninspected_content
deny contains {
	"rule": "routing.uninspected_content",
	"code": "uninspected_content",
	"message": $"The caller's roles may not send content of the kind \"{part.kind}\", which cannot be inspected, to a model for this request.",
	"hint": "Send text instead.",
} if {
	stuck
	some part in input.content.uninspected
	every candidate in served { not sendable(part.kind, candidate.upstream) }
}

sendable(kind, upstream) if {
	some role in caller.roles
	role.uninspected[kind][upstream]
}
