package rules.routing_test

import data.aegis
import data.aegis.testing
import data.rules.routing

decide(changes) := result if {
	result := aegis.decision with input as testing.request(changes)
}

first(changes) := testing.models(decide(changes))[0]

hello := {"content": {
	"signals": {"question_marks": 0, "instruction_verbs": 0, "words": 4},
	"complexity": 0.27,
}}

hard := {"content": {"complexity": 0.9}}

without(names) := object.union(
	object.remove(testing.student, ["upstreams"]),
	{"upstreams": object.remove(testing.student.upstreams, names)},
)

test_multiple_choice_goes_to_a_cheap_model if {
	decision := decide({"content": {"signals": {"multiple_choice": true}}})
	testing.models(decision)[0] == "gpt-5.4-nano"
	"routing.closed" in decision.rules
}

test_yes_or_no_goes_to_a_cheap_model if {
	first({"content": {"signals": {"yes_no": true}}}) == "gpt-5.4-nano"
}

test_an_open_question_goes_to_a_strong_model if {
	decision := decide({})
	testing.models(decision)[0] == "gpt-6-sol"
	"routing.open" in decision.rules
	decision.route.reason == "open task: strong"
}

test_a_greeting_goes_to_a_cheap_model if {
	decision := decide(hello)
	testing.models(decision)[0] == "gpt-5.4-nano"
	"routing.simple" in decision.rules
}

test_a_workflow_may_want_a_better_class if {
	first(object.union(hello, {"purpose": {"workflow": "essay-feedback"}})) == "gpt-6-sol"
}

test_hard_research_goes_to_a_frontier_model if {
	changed := object.union(testing.researcher, hard)
	decision := aegis.decision with input as changed
	testing.models(decision) == ["gpt-6-astra", "claude-opus-5-5"]
	"routing.hard" in decision.rules
}

test_a_role_without_the_class_gets_the_one_below if {
	changed := object.union(testing.researcher, hard)
	decision := aegis.decision with input as changed with data.roles as {"researcher": data.roles.teacher}
	testing.models(decision)[0] == "gpt-6-sol"
	decision.route.reason == "hard task: frontier, but the role may not use it: strong"
}

test_a_hard_task_of_a_student_goes_to_a_strong_model if {
	first(hard) == "gpt-6-sol"
}

spent(micro_usd) := {"spend": [{
	"scope": "team", "subject": "demo-university/cs101", "period": "2026-11",
	"micro_usd": micro_usd, "reserved_micro_usd": 0, "cap_micro_usd": 1000, "age_ms": 0,
}]}

test_a_budget_that_runs_low_buys_the_class_below if {
	decision := decide(spent(800))
	testing.models(decision)[0] == "gpt-5.4-nano"
	"routing.saving" in decision.rules
	decision.route.reason == "open task: strong, but a budget is nearly used: cheap"
	first(spent(799)) == "gpt-6-sol"
}

test_reservations_count_as_spent if {
	[entry] := spent(700).spend
	first({"spend": [object.union(entry, {"reserved_micro_usd": 100})]}) == "gpt-5.4-nano"
}

test_a_budget_whose_state_is_unknown_saves if {
	[entry] := spent(1).spend
	first({"spend": [object.remove(entry, ["cap_micro_usd"])]}) == "gpt-5.4-nano"
}

test_saving_leaves_a_named_model_alone if {
	first(object.union(spent(999), {"request": {"model": "gpt-6-sol"}})) == "gpt-6-sol"
}

test_candidates_of_the_callers_api_come_first if {
	testing.models(decide({})) == ["gpt-6-sol", "mistral-large-2512", "claude-sonnet-5-5"]
	anthropic := decide({"request": {"dialect": "anthropic", "endpoint": "messages"}})
	testing.models(anthropic) == ["claude-sonnet-5-5", "gpt-6-sol", "mistral-large-2512"]
}

test_an_upstream_that_is_down_is_left_out if {
	testing.models(decide({"upstreams": {"openai": {"state": "down"}}})) == ["mistral-large-2512", "claude-sonnet-5-5"]
}

test_upstreams_that_are_down_are_tried_when_there_is_no_other if {
	down := {"state": "down"}
	all_down := {"openai": down, "anthropic": down, "mistral": down, "local": down}
	decision := decide({"upstreams": all_down})
	testing.models(decision) == ["gpt-6-sol", "mistral-large-2512", "claude-sonnet-5-5"]
}

test_a_degraded_upstream_is_tried if {
	first({"upstreams": {"openai": {"state": "degraded"}}}) == "gpt-6-sol"
}

test_an_upstream_that_is_not_configured_is_left_out if {
	decision := aegis.decision with input as without(["openai"])
	testing.models(decision) == ["mistral-large-2512", "claude-sonnet-5-5"]
}

test_without_any_upstream_the_request_is_refused if {
	decision := aegis.decision with input as without(["openai", "anthropic", "mistral"])
	testing.refusals(decision) == {"routing.no_upstream"}
}

test_an_organisations_requests_stay_at_its_upstreams if {
	college := {"caller": {"org": "demo-college", "team": "year-12"}}
	testing.models(decide(college)) == ["mistral-large-2512"]
	closed := object.union(college, {"content": {"signals": {"yes_no": true}}})
	testing.models(decide(closed)) == ["mistral-small-2603", "campus-8b"]
	named := decide(object.union(college, {"request": {"model": "gpt-6-sol"}}))
	testing.refusals(named) == {"routing.no_upstream"}
}

test_a_model_whose_context_is_too_small_is_left_out if {
	closed := {"content": {"signals": {"yes_no": true}, "tokens_estimate": 270000}}
	testing.models(decide(closed)) == ["gpt-5.4-nano", "claude-haiku-5-5"]
}

test_a_prompt_that_fits_no_model_is_refused if {
	decision := decide({"content": {"tokens_estimate": 2000000}})
	testing.refusals(decision) == {"routing.prompt_too_long"}
	decision.deny[0].hint == "At most 1000000 tokens."
}

test_a_prompt_that_does_not_fit_the_named_model_is_refused if {
	decision := decide({"content": {"tokens_estimate": 50000}, "request": {"model": "campus-8b"}})
	testing.refusals(decision) == {"routing.prompt_too_long"}
}

image := {"content": {"modalities": ["text", "image"], "uninspected": [{"kind": "image", "bytes": 4096}]}}

test_a_student_may_not_send_an_image if {
	decision := decide(image)
	testing.refusals(decision) == {"routing.uninspected_content"}
	contains(decision.deny[0].message, "\"image\"")
}

test_a_teacher_may_send_an_image_to_the_upstreams_in_the_data if {
	decision := aegis.decision with input as object.union(testing.teacher, image)
	testing.models(decision) == ["gpt-6-sol", "claude-sonnet-5-5"]
}

test_one_kind_that_is_not_allowed_refuses_the_request if {
	both := {"content": {
		"modalities": ["text", "image", "document"],
		"uninspected": [{"kind": "image", "bytes": 1}, {"kind": "document", "bytes": 1}],
	}}
	decision := aegis.decision with input as object.union(testing.teacher, both)
	testing.refusals(decision) == {"routing.uninspected_content"}
	allowed := aegis.decision with input as object.union(testing.researcher, both)
	allowed.allow
}

test_an_unknown_kind_is_refused if {
	changed := object.union(testing.researcher, {"content": {"uninspected": [{"kind": "unknown", "bytes": 9}]}})
	decision := aegis.decision with input as changed
	testing.refusals(decision) == {"routing.uninspected_content"}
}

test_content_that_no_model_reads_is_refused if {
	decision := decide({"content": {"modalities": ["text", "audio"]}})
	testing.refusals(decision) == {"routing.modality_not_supported"}
}

test_a_retired_model_of_a_pool_is_left_out if {
	pool := [{"model": "gpt-4.1-nano", "upstream": "openai"}, {"model": "campus-8b", "upstream": "local"}]
	decision := aegis.decision with input as testing.request({"content": {"signals": {"yes_no": true}}})
		with data.routing.pools.cheap as pool
	testing.models(decision) == ["campus-8b"]
}

test_a_model_put_into_the_wrong_pool_does_not_pass_the_roles_class if {
	decision := aegis.decision with input as testing.request({"content": {"signals": {"yes_no": true}}})
		with data.routing.pools.cheap as [{"model": "gpt-6-astra", "upstream": "openai"}]
	decision.allow == false
}

test_a_missing_signal_makes_the_task_unknown if {
	every name in ["multiple_choice", "yes_no", "code", "math", "words", "question_marks", "instruction_verbs"] {
		signals := object.remove(testing.student.content.signals, [name])
		content := object.union(object.remove(testing.student.content, ["signals"]), {"signals": signals})
		changed := object.union(object.remove(testing.student, ["content"]), {"content": content})
		not routing.granted with input as changed
	}
}

test_whatever_asks_for_something_is_not_simple if {
	every changes in [
		{"complexity": 0.5},
		{"signals": {"words": 13}},
		{"signals": {"question_marks": 1}},
		{"signals": {"instruction_verbs": 1}},
		{"signals": {"code": true}},
		{"signals": {"math": true}},
	] {
		decision := decide(object.union(hello, {"content": changes}))
		"routing.open" in decision.rules
	}
}

test_a_short_closed_question_is_closed_and_not_simple if {
	decision := decide(object.union(hello, {"content": {"signals": {"yes_no": true}}}))
	{rule | some rule in decision.rules; startswith(rule, "routing.")} == {"routing.closed"}
}

test_a_simple_text_is_never_hard if {
	decision := decide(hello) with data.routing.thresholds.hard_complexity as 0.1
	"routing.simple" in decision.rules
}

test_a_named_model_is_no_kind_of_task if {
	decision := decide(object.union(spent(999), {"request": {"model": "gpt-6-sol"}}))
	{rule | some rule in decision.rules; startswith(rule, "routing.")} == {"routing.named_model"}
	decision.route.reason == "model named by the caller"
}

test_auto_is_no_named_model_and_saves_nothing_with_money_left if {
	{rule | some rule in decide({}).rules; startswith(rule, "routing.")} == {"routing.open"}
}

test_the_reason_names_a_budget_only_when_it_changed_something if {
	closed := object.union(spent(999), {"content": {"signals": {"yes_no": true}}})
	decide(closed).route.reason == "closed task: cheap"
}

test_a_model_goes_only_to_an_upstream_that_serves_it if {
	pool := [{"model": "campus-8b", "upstream": "openai"}, {"model": "campus-8b", "upstream": "local"}]
	decision := decide({"content": {"signals": {"yes_no": true}}}) with data.routing.pools.cheap as pool
	decision.route.candidates == [{"model": "campus-8b", "upstream": "local"}]
}

test_only_the_kind_that_is_not_allowed_is_named if {
	both := {"content": {
		"modalities": ["text", "image", "document"],
		"uninspected": [{"kind": "image", "bytes": 1}, {"kind": "document", "bytes": 1}],
	}}
	decision := aegis.decision with input as object.union(testing.teacher, both)
	[contains(refusal.message, "\"document\"") | some refusal in decision.deny] == [true]
}

test_an_upstream_that_cannot_be_asked_is_left_out if {
	changed := {"upstreams": {"openai": {"endpoints": ["embeddings"]}}}
	testing.models(decide(changed)) == ["mistral-large-2512", "claude-sonnet-5-5"]
}

test_an_upstream_of_which_it_is_not_known_is_left_out if {
	decision := aegis.decision with input as json.remove(testing.student, ["upstreams/openai/endpoints"])
	testing.models(decision) == ["mistral-large-2512", "claude-sonnet-5-5"]
}

test_where_no_upstream_can_be_asked_the_request_is_refused if {
	nothing := {"endpoints": ["models"]}
	upstreams := {"openai": nothing, "anthropic": nothing, "mistral": nothing, "local": nothing}
	every endpoint in ["chat.completions", "responses", "messages", "messages.count_tokens"] {
		changed := {"request": {"endpoint": endpoint}, "upstreams": upstreams}
		testing.refusals(decide(changed)) == {"routing.no_upstream"}
	}
}

test_a_named_model_is_not_moved_to_where_it_can_be_asked if {
	decision := aegis.decision with input as object.union(testing.researcher, {
		"request": {"endpoint": "completions", "model": "campus-8b"},
		"upstreams": {"local": {"endpoints": ["chat.completions"]}},
	})
	testing.refusals(decision) == {"routing.no_upstream"}
}

test_a_count_of_tokens_goes_where_the_message_would if {
	every changes in [{}, hello, spent(900), {"request": {"model": "gpt-6-sol"}}] {
		sent := decide(object.union(changes, {"request": {"endpoint": "messages", "dialect": "anthropic"}}))
		counted := decide(object.union(changes, {"request": {"endpoint": "messages.count_tokens", "dialect": "anthropic"}}))
		counted.allow
		counted.route == sent.route
	}
}

texts(tokens, number) := object.union(testing.embedder, {"content": {"tokens_estimate": tokens, "messages": number}})

# Each of the texts may be as long as the context.
test_a_list_of_texts_has_room_for_each if {
	aegis.decision.allow with input as texts(8191, 1)
	aegis.decision.allow with input as texts(81910, 10)
	decision := aegis.decision with input as texts(81911, 10)
	testing.refusals(decision) == {"routing.prompt_too_long"}
	decision.deny[0].hint == "At most 81910 tokens."
}

test_a_chat_has_one_context_however_many_messages if {
	changed := {"content": {"tokens_estimate": 50000, "messages": 10}, "request": {"model": "campus-8b"}}
	testing.refusals(decide(changed)) == {"routing.prompt_too_long"}
}

# --- Measured quality

figures(quality, usd) := {
	"quality": quality, "low": quality - 0.05, "high": quality + 0.05, "samples": 400, "usd_per_1000_tasks": usd,
	"measured": "2026-11-01", "valid_until": "2027-01-31", "suite": "lms",
	"suite_sha256": "0000000000000000000000000000000000000000000000000000000000000000",
}

# Of closed tasks: the campus model is within the margin of the best, and the cheapest that is.
known := {
	"gpt-6-sol": figures(0.83, 4),
	"gpt-5.4-nano": figures(0.81, 0.3),
	"claude-haiku-5-5": figures(0.8, 0.2),
	"campus-8b": figures(0.72, 0.05),
}

closed := {"content": {"signals": {"multiple_choice": true}}}

measured(changes, table) := result if {
	result := aegis.decision with input as testing.request(object.union(closed, changes))
		with data.quality as {"closed": table}
}

with_figures(model, patch) := object.union(known, {model: object.union(known[model], patch)})

by_class := ["gpt-5.4-nano", "mistral-small-2603", "campus-8b", "claude-haiku-5-5"]

test_the_cheapest_within_the_margin_comes_first_then_the_pool if {
	decision := measured({}, known)
	testing.models(decision) == ["claude-haiku-5-5", "gpt-5.4-nano", "gpt-6-sol", "mistral-small-2603", "campus-8b"]
	decision.route.reason == "closed task: cheapest of 3 within 0.03 of the best measured quality"
	"routing.measured" in decision.rules
}

test_where_only_the_best_is_good_enough_it_is_first_though_of_another_class if {
	decision := measured({}, with_figures("gpt-6-sol", {"quality": 0.95}))
	testing.models(decision) == array.concat(["gpt-6-sol"], by_class)
	decision.route.reason == "closed task: cheapest of 1 within 0.03 of the best measured quality"
}

test_the_margin_is_exact if {
	testing.models(measured({}, with_figures("gpt-5.4-nano", {"quality": 0.7999})))[1] == "gpt-6-sol"
	testing.models(measured({}, with_figures("campus-8b", {"quality": 0.8})))[0] == "campus-8b"
}

test_of_two_at_one_price_the_better_is_first if {
	testing.models(measured({}, with_figures("gpt-5.4-nano", {"usd_per_1000_tasks": 0.2})))[0] == "gpt-5.4-nano"
}

test_what_was_not_measured_or_no_longer_counts_leaves_the_catalogues_order if {
	testing.models(measured({}, {})) == by_class
	aged := {model: object.union(row, {"valid_until": "2026-11-23"}) | some model, row in known}
	small := {model: object.union(row, {"samples": 99}) | some model, row in known}
	every table in [{}, aged, small] {
		decision := measured({}, table)
		testing.models(decision) == by_class
		decision.route.reason == "closed task: cheap"
		not "routing.measured" in decision.rules
	}
	open := decide({}) with data.quality as {"closed": known}
	testing.models(open)[0] == "gpt-6-sol"
}

test_a_measurement_counts_on_its_last_day_and_from_enough_tasks_on if {
	last_day := {model: object.union(row, {"valid_until": "2026-11-24", "samples": 100}) | some model, row in known}
	testing.models(measured({}, last_day))[0] == "claude-haiku-5-5"
}

test_one_that_no_longer_counts_is_no_measure_of_the_others if {
	every patch in [{"valid_until": "2026-11-23"}, {"samples": 99}] {
		decision := measured({}, with_figures("gpt-6-sol", object.union({"quality": 0.99}, patch)))
		testing.models(decision)[0] == "claude-haiku-5-5"
	}
}

test_without_a_margin_in_the_data_nothing_is_measured if {
	decision := aegis.decision with input as testing.request(closed)
		with data.quality as {"closed": known}
		with data.routing as object.remove(data.routing, ["quality"])
	testing.models(decision) == by_class
}

# What the caller may not have is no measure of what it may.
test_a_model_that_the_caller_may_not_use_counts_for_nothing if {
	frontier := object.union(known, {"gpt-6-astra": figures(0.99, 20)})
	testing.models(measured({}, frontier))[0] == "claude-haiku-5-5"
	researcher := aegis.decision with input as object.union(testing.researcher, closed)
		with data.quality as {"closed": frontier}
	testing.models(researcher)[0] == "gpt-6-astra"
	college := {"caller": {"org": "demo-college", "team": "year-12"}}
	testing.models(measured(college, known)) == ["campus-8b", "mistral-small-2603"]
	unconfigured := aegis.decision with input as object.union(without(["openai"]), closed)
		with data.quality as {"closed": known}
	testing.models(unconfigured)[0] == "claude-haiku-5-5"
}

# The measure is the best there is, and not the best of what is up: no dearer model becomes good enough by an outage, or
# by a fact that is missing.
test_an_upstream_that_is_down_changes_no_measure if {
	down := {"upstreams": {"openai": {"state": "down"}}}
	testing.models(measured(down, known)) == ["claude-haiku-5-5", "mistral-small-2603", "campus-8b"]
	best_only := with_figures("gpt-6-sol", {"quality": 0.95})
	testing.models(measured(down, best_only)) == ["mistral-small-2603", "campus-8b", "claude-haiku-5-5"]
	unknown := aegis.decision with input as json.remove(testing.request(closed), ["upstreams/openai/state"])
		with data.quality as {"closed": best_only}
	testing.models(unknown)[0] == "mistral-small-2603"
}

test_what_is_down_is_tried_only_when_nothing_else_is_left if {
	up_alone := {"upstreams": {name: {"state": "down"} | some name in ["openai", "mistral", "local"]}}
	testing.models(measured(up_alone, known)) == ["claude-haiku-5-5"]
	nothing := {"upstreams": {name: {"state": "down"} | some name in ["openai", "anthropic", "mistral", "local"]}}
	testing.models(measured(nothing, known)) == by_class
}

test_a_class_that_the_workflow_asks_for_is_the_least_it_gets if {
	table := {"simple": known}
	essay := testing.request(object.union(hello, {"purpose": {"workflow": "essay-feedback"}}))
	decision := aegis.decision with input as essay with data.quality as table
	testing.models(decision) == ["gpt-6-sol", "mistral-large-2512", "claude-sonnet-5-5"]
	decision.route.reason == "simple task: cheapest of 1 within 0.03 of the best measured quality"
	elsewhere := aegis.decision with input as testing.request(hello) with data.quality as table
	testing.models(elsewhere)[0] == "claude-haiku-5-5"
}

test_a_budget_that_runs_low_is_a_ceiling if {
	best_only := {"open": with_figures("gpt-6-sol", {"quality": 0.95})}
	testing.models(decide({}))[0] == "gpt-6-sol" with data.quality as best_only
	saving := aegis.decision with input as testing.request(spent(900)) with data.quality as best_only
	testing.models(saving) == ["claude-haiku-5-5", "gpt-5.4-nano", "mistral-small-2603", "campus-8b"]
	"routing.saving" in saving.rules
}

test_a_named_model_is_not_measured if {
	decision := measured({"request": {"model": "gpt-6-sol"}}, known)
	testing.models(decision) == ["gpt-6-sol"]
	decision.route.reason == "model named by the caller"
}

test_there_are_never_more_than_eight_candidates if {
	cheap := ["gpt-5.4-nano", "claude-haiku-5-5", "claude-haiku-4-5", "mistral-small-2603", "campus-8b"]
	strong := ["gpt-6-sol", "gpt-5.4", "claude-sonnet-5-5", "claude-sonnet-4-5", "mistral-large-2512"]
	decision := aegis.decision with input as testing.request(closed)
		with data.quality as {"closed": {name: figures(0.8, 1) | some name in strong}}
		with data.routing.pools.cheap as pool_of(cheap)
		with data.routing.pools.strong as pool_of(strong)
	count(decision.route.candidates) == 8
	explained := aegis.explain with input as testing.request(closed)
		with data.quality as {"closed": {name: figures(0.8, 1) | some name in strong}}
		with data.routing.pools.cheap as pool_of(cheap)
		with data.routing.pools.strong as pool_of(strong)
	[entry | some entry in explained.considered; "eight others come before it" in entry.why] != []
}

pool_of(names) := [{"model": name, "upstream": upstream} |
	some name in names
	some upstream in object.keys(data.models[name].upstreams)
]

test_of_one_model_the_upstream_is_first_that_speaks_the_callers_api if {
	models := {"gpt-5.4-nano": object.union(data.models["gpt-5.4-nano"], {"upstreams": {"anthropic": "x", "openai": "x"}})}
	pool := [{"model": "gpt-5.4-nano", "upstream": "anthropic"}, {"model": "gpt-5.4-nano", "upstream": "openai"}]
	decision := measured({}, known) with data.models["gpt-5.4-nano"] as models["gpt-5.4-nano"]
		with data.routing.pools.cheap as pool
		with data.routing.pools.strong as []
	[place.upstream | some place in decision.route.candidates] == ["openai", "anthropic"]
}
