package aegis.explanation_test

import data.aegis
import data.aegis.testing

# Why one model lost, as one text.
why(explained, model) := concat("; ", [text |
	some entry in explained.considered
	entry.model == model
	some text in entry.why
])

tried(explained) := [{"model": entry.model, "upstream": entry.upstream} |
	some entry in explained.considered
	entry.verdict != "lost"
]

needs(explained, rule) := [entry | some entry in explained.needed; entry.rule == rule]

test_the_candidates_come_first_in_the_order_of_the_decision if {
	decision := aegis.decision with input as testing.student
	explained := aegis.explain with input as testing.student
	decision.allow
	tried(explained) == decision.route.candidates
	[entry.verdict | some entry in explained.considered][0] == "chosen"
	explained.needed == []
}

test_each_other_model_of_the_pools_says_all_that_it_failed if {
	explained := aegis.explain with input as testing.student
	why(explained, "gpt-5.4-nano") == "not in the pool of class strong that this task gets"
	why(explained, "gpt-6-astra") == "role student may not use class frontier; not in the pool of class strong that this task gets"
	every entry in explained.considered { count(entry.why) > 0 }
}

test_an_upstream_that_is_down_lost_while_another_is_up if {
	explained := aegis.explain with input as testing.request({"upstreams": {"openai": {"state": "down"}}})
	why(explained, "gpt-6-sol") == "upstream openai is down"
	down := {name: {"state": "down"} | some name, _ in testing.student.upstreams}
	all_down := aegis.explain with input as testing.request({"upstreams": down})
	count(tried(all_down)) == 3
}

test_the_organisation_its_upstreams_and_the_gateway_are_told if {
	changes := {"caller": {"org": "demo-college", "team": "year-12", "roles": ["teacher", "student"]}}
	explained := aegis.explain with input as testing.request(changes)
	why(explained, "gpt-6-sol") == "organisation demo-college may not use upstream openai"
	contains(why(explained, "gpt-6-astra"), "roles teacher, student may not use class frontier")
	without := object.union(
		object.remove(testing.student, ["upstreams"]),
		{"upstreams": object.remove(testing.student.upstreams, ["mistral"])},
	)
	unconfigured := aegis.explain with input as without
	why(unconfigured, "mistral-large-2512") == "upstream mistral is not configured at this gateway"
}

test_a_context_that_is_too_small_is_told_with_both_figures if {
	explained := aegis.explain with input as testing.request({"content": {"tokens_estimate": 300000}})
	why(explained, "mistral-large-2512") == "its context of 262144 tokens is too small for about 300000"
}

test_content_that_is_not_read_or_inspected_is_told if {
	image := {"modalities": ["text", "image"], "uninspected": [{"kind": "image", "bytes": 9}]}
	explained := aegis.explain with input as testing.request({
		"caller": {"roles": ["teacher"]},
		"request": {"model": "campus-8b"},
		"content": image,
	})
	why(explained, "campus-8b") == "it reads no image; role teacher may not send image, which nothing inspects, to local"
	refused := needs(explained, "routing.uninspected_content")
	refused[1].one_of == [
		"claude-haiku-4-5", "claude-haiku-5-5", "claude-sonnet-4-5", "claude-sonnet-5-5",
		"gpt-5.4", "gpt-5.4-nano", "gpt-6-sol",
	]
	count(needs(explained, "routing.modality_not_supported")) == 2
	student := aegis.explain with input as testing.request({"content": image})
	needs(student, "routing.uninspected_content")[2].one_of == ["admin", "researcher", "teacher"]
}

test_a_refused_model_names_what_the_caller_may_use_and_which_roles_may if {
	explained := aegis.explain with input as testing.request({"request": {"model": "gpt-6-astra"}})
	why(explained, "gpt-6-astra") == "role student may not use class frontier"
	why(explained, "gpt-6-sol") == "the caller may name it, and did not"
	tried(explained) == []
	refused := needs(explained, "models.model_not_allowed")
	startswith(refused[0].need, "the model \"auto\"")
	"gpt-6-sol" in refused[1].one_of
	refused[2].one_of == ["admin", "researcher"]
}

test_an_unknown_and_a_retired_model_say_so if {
	unknown := aegis.explain with input as testing.request({"request": {"model": "gpt-0"}})
	why(unknown, "gpt-0") == "the model is not in policies/models/data.yaml"
	unknown.considered[0].upstream == null
	count(needs(unknown, "models.unknown_model")) == 2
	retired := aegis.explain with input as testing.request({"request": {"model": "gpt-4.1-nano"}})
	why(retired, "gpt-4.1-nano") == "retired on 2026-10-23"
}

test_a_model_of_other_operations_says_so if {
	explained := aegis.explain with input as object.union(testing.embedder, {"request": {"model": "claude-opus-5-5"}})
	why(explained, "claude-opus-5-5") == "the model does not answer embeddings; upstream anthropic cannot be asked for embeddings"
	needs(explained, "models.model_not_for_endpoint")[0].one_of == [
		"codestral-embed", "mistral-embed",
		"text-embedding-3-large", "text-embedding-3-small",
	]
	unnamed := aegis.explain with input as object.union(testing.embedder, {"request": {"model": "auto"}})
	why(unnamed, "mistral-embed") == "the caller may name it, and did not"
	none := aegis.explain with input as testing.request({"request": {"endpoint": "models", "model": ""}})
	none.considered == []
}

test_an_upstream_that_does_not_serve_a_model_of_a_pool_says_so if {
	explained := aegis.explain with input as testing.student
		with data.routing.pools as {"strong": [{"model": "gpt-6-sol", "upstream": "local"}]}
	contains(why(explained, "gpt-6-sol"), "upstream local does not serve the model")
}

test_a_model_at_no_upstream_of_the_organisation_names_its_upstreams if {
	explained := aegis.explain with input as testing.request({
		"caller": {"org": "demo-college", "team": "year-12"},
		"request": {"model": "gpt-6-sol"},
	})
	needs(explained, "routing.no_upstream")[0].one_of == ["campus-8b", "mistral-large-2512", "mistral-small-2603"]
	needs(explained, "routing.no_upstream")[1].one_of == ["openai"]
}

test_a_refusal_of_access_keeps_its_models_and_names_roles_that_would_do if {
	explained := aegis.explain with input as testing.request({"request": {
		"endpoint": "embeddings",
		"model": "mistral-embed",
	}})
	why(explained, "mistral-embed") == "the request was refused before any model was asked"
	needs(explained, "access.endpoint_not_allowed")[0].one_of == ["admin", "researcher", "service"]
}

one_of(changes, rule, n) := names if {
	explained := aegis.explain with input as testing.request(changes)
	names := needs(explained, rule)[n].one_of
}

test_each_rule_of_access_says_what_would_do if {
	one_of({"request": {"end_user": {"name": "zoe", "source": "header"}}}, "access.acting_not_allowed", 1) == ["service"]
	one_of({"caller": {"org": "nowhere"}}, "access.unknown_organization", 0) == []
	one_of({"caller": {"team": ""}}, "access.team_required", 0) == ["cs101", "hist110", "lms", "nlp-lab"]
	one_of({"caller": {"team": "x"}}, "access.unknown_team", 0) == ["cs101", "hist110", "lms", "nlp-lab"]
	"student" in one_of({"caller": {"roles": []}}, "access.unknown_role", 0)
	usable := ["assistant", "essay-feedback", "quiz", "tutoring"]
	one_of({"purpose": {"workflow": "mining"}}, "access.unknown_workflow", 0) == usable
	one_of({"purpose": {"workflow": "grading"}}, "access.workflow_not_allowed", 0) == usable
	one_of({"purpose": {"workflow": "grading"}}, "access.workflow_not_allowed", 1) == ["admin", "service", "teacher"]
	one_of({"caller": {"workflows": ["quiz"]}}, "access.workflow_outside_credential", 0) == ["quiz"]
	one_of({"purpose": {"tags": {"institution": "X"}}}, "access.unknown_institution", 0) == ["EXT", "HUM", "MIT"]
	one_of({"purpose": {"tags": {"institution": "HUM", "course": "X"}}}, "access.unknown_course", 0) == ["HIST110", "PHIL120"]
}

test_what_is_asked_for_beside_access_and_models_is_told_too if {
	one_of({"content": {"pii": {"card": 1}}}, "content.card_number", 0) == []
	one_of({"request": {"max_output_tokens": 0}}, "parameters.invalid_max_tokens", 0) == []
	"gpt-6-sol" in one_of(
		{"request": {"model": "mistral-large-2512"}, "content": {"tokens_estimate": 300000}},
		"routing.prompt_too_long", 1,
	)
	explained := aegis.explain with input as object.union(
		object.remove(testing.student, ["content"]),
		{"content": object.remove(testing.student.content, ["secrets"])},
	)
	needs(explained, "aegis.not_granted")[0].one_of == ["content"]
}

test_a_rule_of_ones_own_is_told_in_its_own_words if {
	refusal := {"rule": "exams.exam_running", "code": "exam_running", "message": "An exam is running.", "hint": "Try later."}
	explained := aegis.explain with input as testing.student with data.aegis.deny as [refusal]
	explained.needed == [{"rule": "exams.exam_running", "need": "Try later.", "one_of": []}]
	silent := aegis.explain with input as testing.student
		with data.aegis.deny as [object.union(refusal, {"hint": ""})]
	silent.needed[0].need == "That this no longer holds: An exam is running."
}

test_an_input_without_facts_is_explained_all_the_same if {
	every nothing in [{}, null, [], "", 7] {
		explained := aegis.explain with input as nothing
		is_array(explained.considered)
		is_array(explained.needed)
	}
}

figures(quality, patch) := object.union({"quality": quality, "samples": 400, "usd_per_1000_tasks": 1.5, "valid_until": "2027-01-31"}, patch)

test_measured_quality_says_why_a_model_lost if {
	closed := testing.request({"content": {"signals": {"yes_no": true}}})
	table := {"closed": {
		"gpt-6-sol": figures(0.73, {}),
		"gpt-5.4-nano": figures(0.62, {}),
		"claude-haiku-5-5": figures(0.7, {"valid_until": "2026-10-01"}),
		"claude-sonnet-5-5": figures(0.7, {"samples": 40}),
		"mistral-large-2512": figures(0.71, {"usd_per_1000_tasks": 1.25}),
	}}
	explained := aegis.explain with input as closed with data.quality as table
	decision := aegis.decision with input as closed with data.quality as table
	tried(explained) == decision.route.candidates
	why(explained, "mistral-large-2512") == "closed task: cheapest of 2 within 0.03 of the best measured quality; measured 0.71 at 1.25 USD for 1,000 tasks"
	endswith(why(explained, "gpt-5.4-nano"), "; measured 0.62, 0.11 below the best")
	endswith(why(explained, "claude-haiku-5-5"), "; measurement ended on 2026-10-01")
	startswith(why(explained, "claude-sonnet-5-5"), "only 40 graded tasks; not in the pool of class cheap")
	endswith(why(explained, "campus-8b"), "; not measured for closed tasks")
	unmeasured := aegis.explain with input as closed
	not contains(why(unmeasured, "campus-8b"), "measured")
}

test_the_arm_of_an_experiment_is_the_reason_for_the_first_model if {
	experiment := {
		"unit": "user", "salt": 0, "start": "2026-11-01T00:00:00.000Z", "end": "2026-12-01T00:00:00.000Z",
		"arms": {"a": {"share": 100, "model": "campus-8b"}, "control": {"share": 0}},
	}
	explained := aegis.explain with input as testing.student with data.experiments as {"home": experiment}
	why(explained, "campus-8b") == "open task: strong; experiment home, arm a"
	explained.considered[0].model == "campus-8b"
}
