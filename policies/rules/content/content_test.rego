package rules.content_test

import data.aegis
import data.aegis.testing

decide(changes) := result if {
	result := aegis.decision with input as testing.request(changes)
}

action(decision, entity) := [entry.action | some entry in decision.redact; entry.entity == entity][0]

personal := ["email", "phone", "iban", "us_ssn", "ip"]

own_model := {"request": {"model": "campus-8b"}}

test_personal_data_for_a_third_party_is_tokenised if {
	decision := decide({"content": {"pii": {"email": 2}}})
	every entity in personal { action(decision, entity) == "tokenize" }
	"content.tokenize_pii" in decision.rules
}

test_personal_data_is_tokenised_even_where_none_was_counted if {
	decision := decide({})
	every entity in personal { action(decision, entity) == "tokenize" }
	not "content.tokenize_pii" in decision.rules
}

test_nothing_is_restored_in_links_or_tool_arguments if {
	every entry in decide({}).redact {
		every place in entry.restore { place == "text" }
	}
}

test_personal_data_may_stay_with_the_operator if {
	decision := decide(object.union(own_model, {"content": {"pii": {"email": 1}}}))
	decision.allow
	{entry.entity | some entry in decision.redact} == {"api_key", "card"}
	not "content.tokenize_pii" in decision.rules
}

test_one_third_party_among_the_candidates_is_enough if {
	closed := {"content": {"signals": {"yes_no": true}}, "upstreams": {"openai": {"state": "down"}}}
	action(decide(closed), "email") == "tokenize"
}

test_an_upstream_of_which_it_is_not_known_counts_as_third_party if {
	upstream := object.remove(testing.student.upstreams.local, ["third_party"])
	upstreams := object.union(object.remove(testing.student.upstreams, ["local"]), {"local": upstream})
	changed := object.union(object.remove(testing.request(own_model), ["upstreams"]), {"upstreams": upstreams})
	decision := aegis.decision with input as changed
	action(decision, "email") == "tokenize"
}

test_a_card_number_is_refused_wherever_it_goes if {
	card := {"content": {"pii": {"card": 1}}}
	testing.refusals(decide(card)) == {"content.card_number"}
	testing.refusals(decide(object.union(own_model, card))) == {"content.card_number"}
}

test_a_card_number_that_was_not_counted_is_blocked_when_found if {
	action(decide({}), "card") == "block"
	action(decide(own_model), "card") == "block"
}

test_secrets_are_removed_wherever_they_go if {
	secret := {"content": {"secrets": {"openai": 1}}}
	decision := decide(secret)
	decision.allow
	action(decision, "api_key") == "remove"
	"content.remove_secrets" in decision.rules
	action(decide(object.union(own_model, secret)), "api_key") == "remove"
}
