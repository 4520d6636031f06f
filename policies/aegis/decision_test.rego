package aegis.decision_test

import data.aegis
import data.aegis.testing

fields := {
	"allow", "deny", "route", "parameters", "tools", "redact",
	"rate", "budgets", "audit", "acting_for", "cache", "rules",
}

test_a_decision_has_every_field if {
	every changes in [{}, {"caller": {"org": "nowhere"}}, {"request": {"model": "gpt-0"}}] {
		decision := aegis.decision with input as testing.request(changes)
		object.keys(decision) == fields
	}
}

test_an_empty_input_is_refused_with_every_field if {
	every nothing in [{}, null, [], "", 7] {
		decision := aegis.decision with input as nothing
		decision.allow == false
		count(decision.deny) > 0
		decision.route.candidates == []
		object.keys(decision) == fields
	}
}

test_what_no_rule_explains_is_still_refused if {
	decision := aegis.decision with input as object.union(
		object.remove(testing.student, ["content"]),
		{"content": object.remove(testing.student.content, ["secrets"])},
	)
	decision.allow == false
	testing.refusals(decision) == {"aegis.not_granted"}
}

test_refusals_are_sorted_by_rule_and_named_in_rules if {
	decision := aegis.decision with input as testing.request({
		"request": {"model": "gpt-0"},
		"purpose": {"workflow": "mining", "tags": {"institution": "Hogwarts"}},
		"content": {"pii": {"card": 1}},
	})
	ids := [refusal.rule | some refusal in decision.deny]
	ids == [
		"access.unknown_institution",
		"access.unknown_workflow",
		"content.card_number",
		"models.unknown_model",
	]
	decision.rules == ids
}

test_texts_fit_the_schema if {
	long := concat("", [letter | some _ in numbers.range(1, 600); letter := "x"])
	decision := aegis.decision with input as testing.request({"request": {"model": long}})
	every refusal in decision.deny {
		count(refusal.message) <= 512
		count(refusal.hint) <= 512
	}
}

# A folder under rules/ has its say without a change to the frame.
test_a_rule_that_does_not_grant_withholds if {
	decision := aegis.decision with input as testing.student with data.rules.tools.granted as false
	decision.allow == false
}

test_rules_that_fired_are_sorted if {
	decision := aegis.decision with input as testing.student
	decision.rules == sort(decision.rules)
	"limits.tier" in decision.rules
}

# Facts that a decision rests on. Without one of them the answer is no, whatever the rest says.
test_without_a_fact_that_the_rules_read_the_request_is_refused if {
	every path in [
		"request/endpoint", "request/dialect", "request/model", "request/time", "request/tools",
		"request/max_output_tokens", "caller/id", "caller/org", "caller/team", "caller/user", "caller/roles",
		"caller/workflows", "purpose/workflow", "purpose/tags", "content/pii", "content/secrets",
		"content/uninspected", "content/modalities", "content/tokens_estimate", "content/complexity",
		"content/signals", "upstreams", "request/end_user", "request/end_user/name", "request/end_user/source",
	] {
		decision := aegis.decision with input as json.remove(testing.student, [path])
		[path, decision.allow] == [path, false]
	}
}

test_without_what_is_spent_the_policy_saves if {
	decision := aegis.decision with input as json.remove(testing.student, ["spend"])
	testing.models(decision)[0] == "gpt-5.4-nano"
}

test_every_rule_folder_must_grant if {
	every name in [
		"access", "models", "routing", "content", "parameters",
		"tools", "limits", "budgets", "audit",
	] {
		is_boolean(data.rules[name].granted) with input as testing.student
		data.rules[name].granted with input as testing.student
	}
}
