package rules.models_test

import data.aegis
import data.aegis.testing
import data.rules.models as rules

named(model) := result if {
	result := aegis.decision with input as testing.request({"request": {"model": model}})
}

test_a_named_model_is_honoured_without_substitutes if {
	decision := named("mistral-large-2512")
	decision.route.candidates == [{"model": "mistral-large-2512", "upstream": "mistral"}]
	"routing.named_model" in decision.rules
}

test_an_unknown_model_is_refused_with_a_hint if {
	decision := named("gpt-0")
	testing.refusals(decision) == {"models.unknown_model"}
	contains(decision.deny[0].hint, "gpt-5.4-nano")
	not contains(decision.deny[0].hint, "gpt-6-astra")
}

test_a_student_may_not_use_the_frontier_class if {
	decision := named("gpt-6-astra")
	decision.deny[0].code == "model_not_allowed"
	contains(decision.deny[0].hint, "gpt-6-sol")
	decision.route.candidates == []
}

test_a_researcher_may_use_the_frontier_class if {
	changed := object.union(testing.researcher, {"request": {"model": "gpt-6-astra"}})
	decision := aegis.decision with input as changed
	decision.allow
	testing.models(decision) == ["gpt-6-astra"]
}

test_a_retired_model_is_refused if {
	decision := named("gpt-4.1-nano")
	testing.refusals(decision) == {"models.model_retired"}
	decision.deny[0].message == "The model \"gpt-4.1-nano\" was retired on 2026-10-23."
}

test_a_model_works_until_its_date if {
	last := {"request": {"model": "claude-sonnet-4-5", "time": "2026-11-30T23:59:59.999Z"}}
	after := {"request": {"model": "claude-sonnet-4-5", "time": "2026-12-01T00:00:00.000Z"}}
	aegis.decision.allow with input as testing.request(last)
	not aegis.decision.allow with input as testing.request(after)
}

test_the_list_holds_what_the_caller_may_use if {
	listed := aegis.models with input as testing.request({"request": {"endpoint": "models", "model": ""}})
	"gpt-6-sol" in listed
	not "gpt-6-astra" in listed # frontier
	not "gpt-4.1-nano" in listed # retired
	listed == sort(listed)
}

test_the_list_holds_only_what_is_served_here if {
	listed := aegis.models with input as testing.request({
		"request": {"endpoint": "models", "model": ""},
		"caller": {"org": "demo-college", "team": "year-12"},
	})
	listed == ["campus-8b", "mistral-large-2512", "mistral-small-2603"]
}

test_a_caller_without_access_lists_nothing if {
	changed := {"request": {"endpoint": "models", "model": ""}, "caller": {"roles": []}}
	aegis.models == [] with input as testing.request(changed)
	not aegis.decision.allow with input as testing.request(changed)
}

test_a_model_is_granted_only_to_its_roles_and_until_its_date if {
	rules.granted with input as testing.request({"request": {"model": "gpt-6-sol"}})
	every model in ["gpt-6-astra", "gpt-4.1-nano", "gpt-0", ""] {
		not rules.granted with input as testing.request({"request": {"model": model}})
	}
}

test_the_list_leaves_out_what_no_configured_upstream_serves if {
	changed := json.remove(testing.request({"request": {"endpoint": "models", "model": ""}}), ["upstreams/anthropic"])
	listed := aegis.models with input as changed
	not "claude-sonnet-5-5" in listed
	"gpt-6-sol" in listed
}

asking(changes) := result if {
	result := aegis.decision with input as object.union(testing.embedder, {"request": changes})
}

test_embeddings_go_to_the_named_model_alone if {
	decision := asking({})
	decision.allow
	decision.route.candidates == [{"model": "text-embedding-3-small", "upstream": "openai"}]
}

test_auto_chooses_no_model_for_embeddings if {
	decision := asking({"model": "auto"})
	testing.refusals(decision) == {"models.model_required"}
	decision.deny[0].message == "\"auto\" cannot choose a model for embeddings: name one."
	decision.deny[0].hint == "Use one of: codestral-embed, mistral-embed, text-embedding-3-large, text-embedding-3-small. GET /v1/models lists all."
}

test_auto_chooses_no_model_for_completions if {
	decision := asking({"endpoint": "completions", "model": "auto"})
	testing.refusals(decision) == {"models.model_required"}
	decision.deny[0].hint == "Use one of: campus-8b. GET /v1/models lists all."
}

test_where_no_model_answers_the_hint_says_so if {
	changed := object.union(testing.embedder, {
		"request": {"endpoint": "completions", "model": "auto"},
		"upstreams": {"local": {"endpoints": ["chat.completions"]}},
	})
	decision := aegis.decision with input as changed
	decision.deny[0].hint == "No model of this caller answers completions."
}

test_auto_chooses_for_every_operation_of_a_chat_model if {
	every endpoint in ["chat.completions", "responses", "messages", "messages.count_tokens"] {
		changed := {"request": {"endpoint": endpoint, "model": "auto"}}
		decision := aegis.decision with input as testing.request(changed)
		testing.models(decision)[0] == "gpt-6-sol"
	}
}

test_a_chat_model_makes_no_embeddings if {
	decision := asking({"model": "gpt-6-sol"})
	testing.refusals(decision) == {"models.model_not_for_endpoint"}
	decision.deny[0].message == "The model \"gpt-6-sol\" does not answer embeddings."
	contains(decision.deny[0].hint, "text-embedding-3-small")
	not contains(decision.deny[0].hint, "auto")
}

test_a_model_for_embeddings_does_not_chat if {
	decision := asking({"endpoint": "chat.completions"})
	testing.refusals(decision) == {"models.model_not_for_endpoint"}
	contains(decision.deny[0].hint, "gpt-6-sol")
	not contains(decision.deny[0].hint, "text-embedding")
}

test_a_local_model_answers_legacy_completions if {
	decision := asking({"endpoint": "completions", "model": "campus-8b"})
	decision.route.candidates == [{"model": "campus-8b", "upstream": "local"}]
}

test_the_list_holds_models_for_embeddings_only_for_roles_that_may_make_them if {
	list := {"request": {"endpoint": "models", "model": ""}}
	"text-embedding-3-small" in aegis.models with input as object.union(testing.researcher, list)
	not "text-embedding-3-small" in aegis.models with input as testing.request(list)
}

test_the_list_leaves_out_what_no_upstream_can_be_asked_for if {
	changed := object.union(testing.researcher, {
		"request": {"endpoint": "models", "model": ""},
		"upstreams": {"openai": {"endpoints": ["chat.completions"]}},
	})
	listed := aegis.models with input as changed
	"gpt-6-sol" in listed
	not "text-embedding-3-small" in listed
}

test_a_model_is_granted_only_for_the_operations_it_answers if {
	rules.granted with input as testing.embedder
	every changes in [{"model": "auto"}, {"model": "gpt-6-sol"}, {"endpoint": "messages"}, {"endpoint": "completions"}] {
		not rules.granted with input as object.union(testing.embedder, {"request": changes})
	}
}
