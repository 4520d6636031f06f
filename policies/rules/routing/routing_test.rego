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
