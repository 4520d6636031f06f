package rules.parameters_test

import data.aegis
import data.aegis.testing
import data.rules.parameters

decide(changes) := result if {
	result := aegis.decision with input as testing.request(changes)
}

cap(changes) := decide(changes).parameters.max_output_tokens

test_a_cap_is_always_sent if {
	cap({}) == 4096
}

test_a_smaller_wish_is_honoured if {
	cap({"request": {"max_output_tokens": 100}}) == 100
	not "parameters.output_cap" in decide({"request": {"max_output_tokens": 100}}).rules
}

test_a_larger_wish_is_cut if {
	decision := decide({"request": {"max_output_tokens": 100000}})
	decision.parameters.max_output_tokens == 4096
	"parameters.output_cap" in decision.rules
}

test_the_tier_caps if {
	cap({"caller": {"team": "hist110"}}) == 1024
}

test_the_role_caps if {
	cap({"caller": {"team": "nlp-lab"}}) == 4096
}

test_of_several_roles_the_largest_cap_counts if {
	cap({"caller": {"team": "nlp-lab", "roles": ["student", "teacher"]}}) == 8192
}

test_the_model_caps if {
	changed := object.union(testing.researcher, {"request": {"model": "campus-8b"}})
	decision := aegis.decision with input as changed
	decision.parameters.max_output_tokens == 8192
}

test_a_cap_of_nothing_is_refused if {
	testing.refusals(decide({"request": {"max_output_tokens": 0}})) == {"parameters.invalid_max_tokens"}
}

test_listing_models_has_no_parameters if {
	decide({"request": {"endpoint": "models", "model": ""}}).parameters == {}
}

test_a_cap_of_nothing_is_not_granted if {
	not parameters.granted with input as testing.request({"request": {"max_output_tokens": 0}})
	not parameters.granted with input as testing.request({"request": {"max_output_tokens": "many"}})
}

test_what_writes_nothing_has_no_cap if {
	vectors := aegis.decision with input as testing.embedder
	vectors.allow
	vectors.parameters == {}
	counted := decide({"request": {"endpoint": "messages.count_tokens", "dialect": "anthropic"}})
	counted.allow
	counted.parameters == {}
}

test_whatever_writes_has_a_cap if {
	every endpoint in ["chat.completions", "responses", "messages"] {
		cap({"request": {"endpoint": endpoint}}) == 4096
	}
	legacy := object.union(testing.researcher, {"request": {"endpoint": "completions", "model": "campus-8b"}})
	aegis.decision.parameters.max_output_tokens == 8192 with input as legacy
}

test_an_operation_of_which_it_is_not_known_is_not_granted if {
	not parameters.granted with input as testing.request({"request": {"endpoint": "images"}})
}

test_a_legacy_completion_may_ask_for_no_output if {
	legacy := {"request": {"endpoint": "completions", "model": "campus-8b", "max_output_tokens": 0}}
	decision := aegis.decision with input as object.union(testing.researcher, legacy)
	decision.allow
	decision.parameters.max_output_tokens == 1
	below := object.union(legacy, {"request": {"max_output_tokens": -1}})
	aegis.decision.deny[0].code == "invalid_max_tokens" with input as object.union(testing.researcher, below)
}
