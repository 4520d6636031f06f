package rules.mirrors_test

import data.aegis
import data.aegis.testing

# Bucket 0 draws the salt, which is below 10 %; bucket 5,500 draws 1,500, bucket 763 999 and bucket 9,474 1,002.
candidate := {"new-tutor": {
	"title": "Whether the new model would do", "model": "claude-opus-5-5", "percent": 10, "salt": 0,
	"usd_per_day": 2.5, "until": "2026-12-01T00:00:00.000Z",
}}

hit := {"bucket": {"request": 0}}

decide(changes, table) := result if {
	result := aegis.decision with input as testing.request(object.union(hit, changes)) with data.mirrors as table
}

mirror(changes) := decide(changes, candidate).route.mirror

none(changes, table) if {
	decision := decide(changes, table)
	decision.allow
	decision.route.mirror == null
	not "mirrors.mirrored" in decision.rules
}

patched(patch) := {"new-tutor": object.union(candidate["new-tutor"], patch)}

# The role may not use it: its answer is for the organisation's evaluation, not for the caller.
test_the_drawn_share_is_mirrored_and_its_route_stays_as_it_is if {
	decision := decide({}, candidate)
	decision.route.mirror == {
		"id": "new-tutor", "model": "claude-opus-5-5",
		"upstream": "anthropic", "daily_micro_usd": 2500000,
	}
	"mirrors.mirrored" in decision.rules
	plain := decide({}, {})
	decision.route.candidates == plain.route.candidates
	decision.redact == plain.redact
	decision.parameters == plain.parameters
}

test_the_rest_is_not if {
	none({"bucket": {"request": 5500}}, candidate)
	none({}, patched({"percent": 0}))
	mirror({"bucket": {"request": 763}}).id == "new-tutor"
	none({"bucket": {"request": 9474}}, candidate)
}

test_streams_and_named_models_are_mirrored_too if {
	mirror({"request": {"stream": true}}).id == "new-tutor"
	mirror({"request": {"model": "gpt-6-sol"}}).id == "new-tutor"
}

test_what_is_no_chat_is_not_mirrored if {
	none({"request": {"endpoint": "messages.count_tokens", "dialect": "anthropic"}}, candidate)
	vectors := aegis.decision with input as object.union(testing.embedder, hit) with data.mirrors as candidate
	vectors.allow
	vectors.route.mirror == null
}

test_only_organisations_that_let_themselves_be_evaluated_are_mirrored if {
	decision := aegis.decision with input as testing.request(hit)
		with data.mirrors as candidate
		with data.organizations["demo-university"].evaluation as false
	decision.allow
	decision.route.mirror == null
}

test_it_ends if {
	mirror({"request": {"time": "2026-11-30T23:59:59.999Z"}}).id == "new-tutor"
	none({"request": {"time": "2026-12-01T00:00:00.000Z"}}, candidate)
}

test_whom_it_does_not_concern_is_not_mirrored if {
	none({}, patched({"organizations": {"demo-college": true}}))
	none({}, patched({"workflows": {"quiz": true}}))
	none({}, patched({"tasks": {"closed": true}}))
}

test_a_model_that_cannot_be_asked_mirrors_nothing if {
	none({"upstreams": {"anthropic": {"state": "down"}}}, candidate)
	none({"upstreams": {"anthropic": {"endpoints": ["embeddings"]}}}, candidate)
	none({"content": {"tokens_estimate": 40000}}, patched({"model": "campus-8b"}))
	none({}, patched({"model": "gpt-4.1-nano"}))
	image := {"content": {"modalities": ["text", "image"], "uninspected": [{"kind": "image", "bytes": 9}]}}
	teacher := object.union(object.union(testing.teacher, image), hit)
	sent := aegis.decision with input as teacher with data.mirrors as patched({"model": "mistral-large-2512"})
	sent.allow
	sent.route.mirror == null
}

test_an_upstream_of_others_is_closed_to_it if {
	college := {"caller": {"org": "demo-college", "team": "year-12"}}
	consenting := object.union(data.organizations["demo-college"], {"evaluation": true})
	decision := aegis.decision with input as testing.request(object.union(hit, college))
		with data.mirrors as candidate
		with data.organizations["demo-college"] as consenting
	decision.allow
	decision.route.mirror == null
}

test_the_model_that_answers_is_not_asked_twice if {
	none({}, patched({"model": "gpt-6-sol"}))
}

test_where_a_budget_runs_low_nothing_is_mirrored if {
	none(
		{"spend": [{
			"scope": "team", "subject": "demo-university/cs101", "period": "2026-11",
			"micro_usd": 900, "reserved_micro_usd": 0, "cap_micro_usd": 1000, "age_ms": 0,
		}]},
		candidate,
	)
	less := aegis.decision with input as json.remove(testing.request(hit), ["spend"]) with data.mirrors as candidate
	less.route.mirror == null
}

# Text that goes to no third party is not masked for one: so no mirror may carry it there.
test_what_stays_with_the_operator_is_mirrored_there_alone if {
	at_home := {"request": {"model": "campus-8b"}}
	none(at_home, candidate)
	own := {"upstreams": {"anthropic": {"third_party": false}}}
	mirror(object.union(at_home, own)).upstream == "anthropic"
	mirror(own).upstream == "anthropic"
}

test_of_several_the_first_by_id_counts if {
	both := object.union(candidate, {"a-first": object.union(candidate["new-tutor"], {"model": "mistral-large-2512"})})
	decide({}, both).route.mirror.id == "a-first"
	decide({"upstreams": {"mistral": {"state": "down"}}}, both).route.mirror == null
}

test_without_a_fact_there_is_no_mirror if {
	every path in ["bucket", "bucket/request", "upstreams/anthropic/third_party", "upstreams/anthropic/state"] {
		less := json.remove(testing.request(hit), [path])
		decision := aegis.decision with input as less with data.mirrors as candidate
		[path, decision.route.mirror] == [path, null]
	}
}
