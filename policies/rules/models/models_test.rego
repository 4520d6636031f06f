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
