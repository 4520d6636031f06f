package rules.limits_test

import data.aegis
import data.aegis.testing

rate(changes) := result if {
	result := aegis.decision.rate with input as testing.request(changes)
}

test_a_call_has_the_tier_of_its_team if {
	rate({}).tier == "standard"
	rate({"caller": {"team": "hist110"}}).tier == "free"
	rate({"caller": {"team": "nlp-lab"}}).tier == "premium"
}

test_a_team_without_a_tier_has_its_organisations if {
	rate({"caller": {"org": "demo-college", "team": "year-12"}}).tier == "free"
}

test_key_organisation_team_and_user_are_limited if {
	[limit.subject | some limit in rate({}).limits] == [
		"key_1",
		"demo-university",
		"demo-university/cs101",
		"demo-university/sam",
	]
	every limit in rate({}).limits {
		limit.requests_per_minute > 0
		limit.tokens_per_minute > 0
		limit.concurrent > 0
	}
}

test_figures_come_from_the_tiers if {
	[key, org, _, _] := rate({"caller": {"team": "hist110"}}).limits
	key.requests_per_minute == 20
	org.requests_per_minute == data.tiers.premium.limits.org.requests_per_minute
}

test_a_credential_without_a_user_has_no_users_limit if {
	[limit.scope | some limit in rate({"caller": {"user": ""}}).limits] == ["key", "org", "team"]
}

test_each_group_is_limited_where_the_tier_says_so if {
	limits := rate({"caller": {"team": "nlp-lab", "groups": ["staff", "lab"]}}).limits
	[limit.subject | some limit in limits; limit.scope == "group"] == ["demo-university/staff", "demo-university/lab"]
	[limit | some limit in rate({"caller": {"groups": ["staff"]}}).limits; limit.scope == "group"] == []
}

test_an_organisation_is_limited_at_a_scarce_model if {
	frontier := rate({
		"caller": {"team": "nlp-lab", "roles": ["researcher"]},
		"request": {"model": "gpt-6-astra"},
	})
	[limit | some limit in frontier.limits; limit.scope == "model"] == [{
		"scope": "model",
		"subject": "demo-university/openai/gpt-6-astra",
		"requests_per_minute": 600,
		"tokens_per_minute": 4000000,
		"concurrent": 64,
	}]
	[limit | some limit in rate({}).limits; limit.scope == "model"] == []
}
