package rules.experiments_test

import data.aegis
import data.aegis.testing
import data.rules.experiments

# In users from 0 to 2,999 of the draw arm `cheaper`, to 5,999 `control`: bucket 0 draws the salt.
tutors := {"tutors": {
	"title": "A cheaper tutor", "unit": "user", "salt": 0,
	"start": "2026-11-01T00:00:00.000Z", "end": "2026-12-01T00:00:00.000Z",
	"arms": {
		"cheaper": {"share": 30, "model": "gpt-5.4-nano", "parameters": {"max_output_tokens": 500}},
		"control": {"share": 30},
	},
	"metric": {"name": "score", "better": "higher"},
}}

# Buckets whose draws, times 3,173, are 0, 2,997, 3,000, 5,997 and 6,000.
cheaper := {"bucket": {"user": 0}}

last_cheaper := {"bucket": {"user": 2289}}

control := {"bucket": {"user": 1000}}

last_control := {"bucket": {"user": 3289}}

outside := {"bucket": {"user": 2000}}

decide(changes, table) := result if {
	result := aegis.decision with input as testing.request(changes) with data.experiments as table
}

arm(changes) := object.get(object.get(decide(changes, tutors).route, "experiment", {}), "arm", "")

none(changes, table) if {
	decision := decide(changes, table)
	decision.allow
	decision.route.experiment == null
	not "experiments.assigned" in decision.rules
}

patched(patch) := {"tutors": object.union(tutors.tutors, patch)}

test_shares_are_taken_in_the_order_of_the_arms_names if {
	arm(cheaper) == "cheaper"
	arm(last_cheaper) == "cheaper"
	arm(control) == "control"
	arm(last_control) == "control"
	none(outside, tutors)
}

test_an_arms_model_comes_first_and_the_others_follow if {
	decision := decide(cheaper, tutors)
	decision.route.experiment == {"id": "tutors", "arm": "cheaper"}
	testing.models(decision) == ["gpt-5.4-nano", "gpt-6-sol", "mistral-large-2512", "claude-sonnet-5-5"]
	decision.route.reason == "open task: strong; experiment tutors, arm cheaper"
	"experiments.assigned" in decision.rules
	decision.parameters.max_output_tokens == 500
}

test_an_arm_without_a_model_is_as_without_the_experiment if {
	decision := decide(control, tutors)
	plain := decide(control, {})
	decision.route.candidates == plain.route.candidates
	decision.parameters == plain.parameters
	decision.route.reason == "open task: strong; experiment tutors, arm control"
	plain.route.reason == "open task: strong"
}

test_an_arm_never_raises_the_output_cap if {
	raised := patched({"arms": {"cheaper": {"parameters": {"max_output_tokens": 99999}}}})
	decide(cheaper, raised).parameters.max_output_tokens == 4096
	wished := object.union(cheaper, {"request": {"max_output_tokens": 20}})
	decide(wished, tutors).parameters.max_output_tokens == 20
}

test_a_model_that_is_in_the_pool_anyway_is_there_once if {
	promoted := patched({"arms": {"cheaper": {"model": "mistral-large-2512"}}})
	testing.models(decide(cheaper, promoted)) == ["mistral-large-2512", "gpt-6-sol", "claude-sonnet-5-5"]
}

test_an_experiment_runs_from_its_start_to_before_its_end if {
	none(object.union(cheaper, {"request": {"time": "2026-10-31T23:59:59.999Z"}}), tutors)
	arm(object.union(cheaper, {"request": {"time": "2026-11-01T00:00:00.000Z"}})) == "cheaper"
	arm(object.union(cheaper, {"request": {"time": "2026-11-30T23:59:59.999Z"}})) == "cheaper"
	none(object.union(cheaper, {"request": {"time": "2026-12-01T00:00:00.000Z"}}), tutors)
}

test_whom_it_does_not_concern_takes_no_part if {
	none(cheaper, patched({"organizations": {"demo-college": true}}))
	none(cheaper, patched({"workflows": {"quiz": true}}))
	none(cheaper, patched({"tasks": {"closed": true}}))
}

test_a_named_model_is_no_experiments if {
	none(object.union(cheaper, {"request": {"model": "gpt-6-sol"}}), tutors)
}

test_other_operations_than_chats_take_no_part if {
	vectors := object.union(testing.embedder, cheaper)
	decision := aegis.decision with input as vectors with data.experiments as tutors
	decision.allow
	decision.route.experiment == null
}

test_a_count_of_tokens_goes_where_its_message_would_and_is_no_exposure if {
	sent := decide(object.union(cheaper, {"request": {"endpoint": "messages", "dialect": "anthropic"}}), tutors)
	counted := decide(object.union(cheaper, {"request": {"endpoint": "messages.count_tokens", "dialect": "anthropic"}}), tutors)
	counted.route.candidates == sent.route.candidates
	sent.route.experiment.arm == "cheaper"
	counted.route.experiment == null
	counted.route.reason == "open task: strong"
}

test_a_stopped_experiment_has_everybody_in_control if {
	stopped := object.union(cheaper, {"experiments": {"tutors": {"stopped": true}}})
	decision := decide(stopped, tutors)
	decision.route.experiment == {"id": "tutors", "arm": "control"}
	testing.models(decision)[0] == "gpt-6-sol"
	decision.parameters.max_output_tokens == 4096
	"experiments.stopped" in decision.rules
	running := decide(object.union(cheaper, {"experiments": {"tutors": {"stopped": false}}}), tutors)
	running.route.experiment.arm == "cheaper"
	not "experiments.stopped" in running.rules
	none(object.union(outside, {"experiments": {"tutors": {"stopped": true}}}), tutors)
}

# Who cannot have one arm's model is in no arm, control included: otherwise unlike people would be compared.
test_who_could_not_have_each_arms_model_is_in_no_arm if {
	every changes in [
	object.union(who, {"upstreams": {"anthropic": {"state": "down"}}}) | some who in [cheaper, control]] {
		none(changes, patched({"arms": {"cheaper": {"model": "claude-haiku-5-5"}}}))
	}
	frontier := patched({"arms": {"cheaper": {"model": "gpt-6-astra"}}})
	every who in [cheaper, control] { none(who, frontier) }
	researcher := aegis.decision with input as object.union(testing.researcher, cheaper) with data.experiments as frontier
	researcher.route.candidates[0].model == "gpt-6-astra"
	college := object.union(control, {"caller": {"org": "demo-college", "team": "year-12"}})
	none(college, tutors)
}

test_where_a_budget_runs_low_nobody_takes_part if {
	low := {"spend": [{
		"scope": "team", "subject": "demo-university/cs101", "period": "2026-11",
		"micro_usd": 900, "reserved_micro_usd": 0, "cap_micro_usd": 1000, "age_ms": 0,
	}]}
	every who in [cheaper, control] { none(object.union(who, low), tutors) }
}

# The cap must not grow where a fact is missing that decides who takes part.
test_an_arms_cap_binds_whoever_was_drawn if {
	without := aegis.decision with input as json.remove(testing.request(cheaper), ["spend"]) with data.experiments as tutors
	without.route.experiment == null
	without.parameters.max_output_tokens == 500
}

test_of_two_the_first_by_id_that_draws_counts if {
	other := object.union(tutors.tutors, {"arms": {"cheaper": {"share": 0}, "control": {"share": 100}}})
	decide(cheaper, object.union(tutors, {"another": other})).route.experiment == {"id": "another", "arm": "control"}
	decide(cheaper, object.union(tutors, {"zebra": other})).route.experiment == {"id": "tutors", "arm": "cheaper"}
	decide(outside, object.union(tutors, {"zebra": other})).route.experiment == {"id": "zebra", "arm": "control"}
}

test_shares_of_a_hundredth_add_up if {
	thirds := {"a": {"share": 33.33}, "b": {"share": 33.33}, "control": {"share": 33.34}}
	bounds := [experiments.bound(thirds, name) | some name in ["a", "b", "control"]]
	bounds == [3333, 6666, 10000]
}

test_without_the_draw_or_what_stopped_it_a_request_is_refused if {
	every path in ["bucket", "bucket/user", "experiments", "experiments/tutors/stopped"] {
		whole := testing.request(object.union(cheaper, {"experiments": {"tutors": {"stopped": false}}}))
		decision := aegis.decision with input as json.remove(whole, [path]) with data.experiments as tutors
		[path, decision.allow] == [path, false]
		elsewhere := aegis.decision with input as json.remove(whole, [path])
		[path, elsewhere.allow] == [path, true]
	}
}
