# METADATA
# title: Experiments
# description: Which arm of which A/B test a request with model "auto" belongs to. The arm puts a model first, or lowers the output cap.
package rules.experiments

import data.aegis.caller
import data.aegis.traffic
import data.rules.routing

# Where an experiment runs, nobody is asked in the dark: the draw, and whether a guard stopped it, must be known.
default granted := false

granted if every id in running { known(id) }

known(id) if {
	is_number(input.bucket[data.experiments[id].unit])
	is_boolean(stopped(id))
}

# One of which the gateway says nothing runs by its data alone.
stopped(id) := object.get(input.experiments, id, {"stopped": false}).stopped

# Those that concern the request, by id. A named model is the caller's will, and no experiment's.
running := [id |
	routing.auto
	caller.chats
	some id in sort(object.keys(data.experiments))
	input.request.time >= data.experiments[id].start
	input.request.time < data.experiments[id].end
	traffic.concerned(data.experiments[id])
]

# A request belongs to one experiment at most: to the first that draws it.
drawn := [{"id": id, "arm": in_effect(id, name)} |
	some id in running
	name := arm_of(data.experiments[id])
][0]

# Arms take their shares of 10,000 in the order of their names. What they leave takes no part.
arm_of(experiment) := [name |
	some name in sort(object.keys(experiment.arms))
	traffic.draw(experiment.unit, experiment.salt) < bound(experiment.arms, name)
][0]

bound(arms, name) := round(100 * sum([arms[other].share | some other in sort(object.keys(arms)); other <= name]))

# A breached guard returns everybody to control.
in_effect(id, _) := "control" if stopped(id)

in_effect(id, name) := name if not stopped(id)

# Who takes part. Every arm's model must be one that this request could have, whichever arm was drawn: otherwise those who
# may use a model would be compared with those who may not. Nor does it spend where the policy saves.
default assignment := null

assignment := drawn if {
	routing.thrifty
	every _, arm in data.experiments[drawn.id].arms { usable(arm) }
}

usable(arm) if not arm.model

usable(arm) if count(routing.places(arm.model)) > 0

# What the decision says. A count of tokens goes where its message would, but is no answer to compare.
default exposure := null

exposure := assignment if {
	is_object(assignment)
	input.request.endpoint != "messages.count_tokens"
}

# The candidates that the arm puts first.
default lead := []

lead := routing.places(data.experiments[assignment.id].arms[assignment.arm].model)

# The arm's output cap. It binds whoever was drawn, even where no model of the experiment can be used: so a fact that is
# missing never gives a longer answer.
caps := [data.experiments[drawn.id].arms[drawn.arm].parameters.max_output_tokens]

default caps := []

# METADATA
# title: Experiment
# description: The request belongs to an arm of an A/B test in policies/experiments/data.yaml.
# custom:
#   code: assigned
fired contains "experiments.assigned" if is_object(exposure)

# METADATA
# title: Stopped experiment
# description: A guard of the experiment was breached, so everybody is in its control arm.
# custom:
#   code: stopped
fired contains "experiments.stopped" if {
	is_object(exposure)
	stopped(exposure.id)
}
