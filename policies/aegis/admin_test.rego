package aegis.admin_test

import data.aegis
import data.aegis.testing

ask(changes) := result if {
	result := aegis.admin with input as object.union(
		object.union(testing.request({"request": {"endpoint": "admin.upstreams", "model": ""}}), {"target": null}),
		changes,
	)
}

administrator := {"caller": {"roles": ["admin"]}}

test_an_administrator_may_read_the_upstreams if {
	ask(administrator) == {"allow": true, "deny": [], "org": "demo-university"}
}

test_nobody_else_may if {
	every roles in [["student"], ["teacher"], ["researcher"], ["service"], ["emperor"], []] {
		decision := ask({"caller": {"roles": roles}})
		decision.allow == false
		testing.refusals(decision) == {"aegis.admin_not_allowed"}
		decision.deny[0].hint == "Roles that may: admin, platform-admin."
	}
}

test_one_role_of_several_is_enough if {
	ask({"caller": {"roles": ["student", "admin"]}}).allow
}

test_an_administrator_of_an_unknown_organisation_may_not if {
	ask({"caller": {"org": "nowhere", "roles": ["admin"]}}).allow == false
}

test_an_operation_that_no_role_has_is_refused if {
	every endpoint in ["admin.secrets", "chat.completions", "models", "", null] {
		decision := ask({"caller": {"roles": ["admin"]}, "request": {"endpoint": endpoint}})
		decision.allow == false
		decision.deny[0].hint == ""
	}
}

test_without_a_fact_the_answer_is_no if {
	whole := object.union(
		testing.request(object.union(administrator, {"request": {"endpoint": "admin.upstreams"}})),
		{"target": null},
	)
	aegis.admin.allow with input as whole
	every path in ["request", "request/endpoint", "caller", "caller/id", "caller/org", "caller/roles", "target"] {
		decision := aegis.admin with input as json.remove(whole, [path])
		[path, decision.allow, count(decision.deny)] == [path, false, 1]
	}
}

test_an_empty_input_is_refused if {
	every nothing in [{}, null, [], "", 7] {
		decision := aegis.admin with input as nothing
		decision.allow == false
		count(decision.deny) == 1
	}
}

test_a_permission_is_true_and_nothing_else if {
	every granted in [false, null, "true", 1, {}] {
		decision := ask(administrator) with data.roles.admin.admin as {"admin.upstreams": granted}
		decision.allow == false
	}
}

# --- Keys

key := {"org": "demo-university", "team": "cs101", "user": "sam", "roles": ["student"], "groups": [], "workflows": []}

ask_for(endpoint, roles, changes) := ask({
	"request": {"endpoint": endpoint},
	"caller": {"roles": roles},
	"target": object.union(key, changes),
})

create(roles, changes) := ask_for("admin.keys.create", roles, changes)

codes(decision) := {reason.code | some reason in decision.deny}

key_operations := ["admin.keys.list", "admin.keys.create", "admin.keys.rotate", "admin.keys.revoke"]

test_an_administrator_is_confined_to_its_organisation_and_the_platforms_is_not if {
	every operation in array.concat(key_operations, ["admin.usage"]) {
		own := ask({"caller": {"roles": ["admin"]}, "request": {"endpoint": operation}})
		[own.allow, own.org] == [true, "demo-university"]
		all := ask({"caller": {"roles": ["platform-admin"]}, "request": {"endpoint": operation}})
		[all.allow, all.org] == [true, null]
	}
}

test_nobody_else_may_touch_keys_or_see_usage if {
	every operation in array.concat(key_operations, ["admin.usage"]) {
		every roles in [["student"], ["teacher"], ["researcher"], ["service"], []] {
			codes(ask_for(operation, roles, {})) == {"admin_not_allowed"}
			codes(ask({"caller": {"roles": roles}, "request": {"endpoint": operation}})) == {"admin_not_allowed"}
		}
	}
}

test_an_administrator_makes_keys_of_its_organisation if {
	every roles in [["student"], ["teacher", "researcher"], ["service"], ["admin"], []] {
		create(["admin"], {"roles": roles}).allow
	}
}

test_no_key_of_another_organisation if {
	every operation in ["admin.keys.create", "admin.keys.rotate", "admin.keys.revoke"] {
		other := {"org": "demo-college", "team": "year-12"}
		decision := ask_for(operation, ["admin"], other)
		codes(decision) == {"organization_not_allowed"}
		decision.deny[0].message == "The caller administers \"demo-university\" alone."
		ask_for(operation, ["platform-admin"], other).allow
	}
}

test_no_grant_above_the_grantors_own if {
	every operation in ["admin.keys.create", "admin.keys.rotate", "admin.keys.revoke"] {
		every beyond in [["platform-admin"], ["student", "platform-admin"], ["emperor"]] {
			codes(ask_for(operation, ["admin"], {"roles": beyond})) == {"role_not_grantable"}
		}
		ask_for(operation, ["platform-admin"], {"roles": ["platform-admin"]}).allow
	}
}

test_the_hint_names_what_could_be_granted if {
	[reason] := create(["admin"], {"roles": ["platform-admin"]}).deny
	reason.message == "The caller may not grant: platform-admin."
	reason.hint == "Roles it may grant: admin, researcher, service, student, teacher."
}

test_no_data_lifts_a_role_above_its_grantor if {
	every lifted in [
		{"all_organizations": true},
		{"admin": {"admin.upstreams": true}},
		{"grants": {"platform-admin": true}},
	] {
		decision := create(["warden"], {"roles": ["student"]})
			with data.roles.warden as {"admin": {"admin.keys.create": true}, "grants": {"student": true}}
			with data.roles.student as object.union(data.roles.student, lifted)
		codes(decision) == {"role_not_grantable"}
	}
	decision := create(["warden"], {"roles": ["student"]})
		with data.roles.warden as {"admin": {"admin.keys.create": true}, "grants": {"student": true}}
	decision.allow
}

# An auditor who sees the usage of all, and administers the keys of its own organisation.
roaming_auditor := ["admin", "auditor"]

auditor := {"admin": {"admin.usage": true}, "all_organizations": true}

test_a_role_for_all_organisations_lifts_no_other_role if {
	everywhere := ask({"caller": {"roles": roaming_auditor}, "request": {"endpoint": "admin.usage"}}) with data.roles.auditor as auditor
	[everywhere.allow, everywhere.org] == [true, null]
	every operation in key_operations {
		own := ask({"caller": {"roles": roaming_auditor}, "request": {"endpoint": operation}}) with data.roles.auditor as auditor
		[operation, own.allow, own.org] == [operation, true, "demo-university"]
		other := {"org": "demo-college", "team": "year-12"}
		codes(ask_for(operation, roaming_auditor, other)) == {"organization_not_allowed"} with data.roles.auditor as auditor
	}
	codes(create(roaming_auditor, {"roles": ["auditor"]})) == {"role_not_grantable"} with data.roles.auditor as auditor
		with data.roles.admin.grants as {"auditor": true}
}

test_what_reaches_all_organisations_is_granted_by_whom_it_reaches_so if {
	keeper := {"admin": {"admin.keys.create": true}, "grants": {"student": true}, "all_organizations": true}
	other := {"org": "demo-college", "team": "year-12"}
	both := ["admin", "keeper"]
	create(both, other).allow with data.roles.keeper as keeper
	codes(create(both, object.union(other, {"roles": ["teacher"]}))) == {"role_not_grantable"} with data.roles.keeper as keeper
	create(both, {"roles": ["teacher"]}).allow with data.roles.keeper as keeper
	lifted := {"admin": {"admin.keys.revoke": true}, "all_organizations": true}
	codes(create(both, {"roles": ["lifted"]})) == {"role_not_grantable"} with data.roles.keeper as keeper
		with data.roles.lifted as lifted
		with data.roles.admin.grants as {"lifted": true}
}

test_a_credential_limited_to_workflows_grants_no_others if {
	grant_limited(["quiz"]).allow
	codes(grant_limited(["quiz", "grading"])) == {"workflow_not_grantable"}
	codes(grant_limited([])) == {"workflow_not_grantable"}
}

grant_limited(workflows) := ask({
	"request": {"endpoint": "admin.keys.create"},
	"caller": {"roles": ["admin"], "workflows": ["quiz", "tutoring"]},
	"target": object.union(key, {"workflows": workflows}),
})

test_a_new_key_names_what_the_policy_knows if {
	every changes in [{"team": "year-12"}, {"workflows": ["mining"]}] {
		codes(create(["admin"], changes)) == {"unknown_name"}
		ask_for("admin.keys.rotate", ["admin"], changes).allow
	}
	codes(create(["platform-admin"], {"org": "nowhere"})) == {"unknown_name"}
	create(["admin"], {"team": ""}).allow
}

test_several_reasons_are_sorted_by_rule if {
	decision := create(["admin"], {"org": "demo-college", "roles": ["emperor"]})
	[reason.rule | some reason in decision.deny] == ["aegis.organization_not_allowed", "aegis.role_not_grantable"]
}

test_without_a_fact_of_the_key_the_answer_is_no if {
	whole := object.union(
		testing.request({"request": {"endpoint": "admin.keys.create"}, "caller": {"roles": ["admin"]}}),
		{"target": object.union(key, {"workflows": ["quiz"]})},
	)
	aegis.admin.allow with input as whole
	every field in ["org", "team", "roles", "workflows"] {
		decision := aegis.admin with input as json.remove(whole, [$"target/{field}"])
		[field, decision.allow] == [field, false]
	}
	platform := object.union(whole, {"request": {"endpoint": "admin.keys.revoke"}, "caller": {"roles": ["platform-admin"]}})
	aegis.admin.allow with input as platform
	every field in ["org", "roles", "workflows"] {
		decision := aegis.admin with input as json.remove(platform, [$"target/{field}"])
		[field, decision.allow] == [field, false]
	}
}

test_texts_fit_the_schema if {
	long := concat("", [letter | some _ in numbers.range(1, 64); letter := "x"])
	names := [$"{long}{n}" | some n in numbers.range(10, 40)]
	every reason in create(["admin"], {"roles": names}).deny {
		count(reason.message) <= 512
		count(reason.hint) <= 512
	}
}

# Whatever the data plane's rules would say: they know nothing of the control plane.
test_the_data_plane_does_not_serve_the_control_planes_operations if {
	decision := aegis.decision with input as testing.request(object.union(
		administrator,
		{"request": {"endpoint": "admin.upstreams", "model": "auto"}},
	))
	decision.allow == false
}

test_experiments_and_evaluations_are_for_administrators if {
	every operation in ["admin.experiments", "admin.evaluations"] {
		ask(at(operation, "admin")) == {"allow": true, "deny": [], "org": "demo-university"}
		ask(at(operation, "platform-admin")) == {"allow": true, "deny": [], "org": null}
		ask(at(operation, "teacher")).allow == false
	}
}

at(operation, role) := {"request": {"endpoint": operation}, "caller": {"roles": [role]}}
