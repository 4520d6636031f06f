package aegis.admin_test

import data.aegis
import data.aegis.testing

ask(changes) := result if {
	result := aegis.admin with input as object.union(
		testing.request({"request": {"endpoint": "admin.upstreams", "model": ""}}),
		changes,
	)
}

administrator := {"caller": {"roles": ["admin"]}}

test_an_administrator_may_read_the_upstreams if {
	ask(administrator) == {"allow": true, "deny": []}
}

test_nobody_else_may if {
	every roles in [["student"], ["teacher"], ["researcher"], ["service"], ["emperor"], []] {
		decision := ask({"caller": {"roles": roles}})
		decision.allow == false
		testing.refusals(decision) == {"aegis.admin_not_allowed"}
		decision.deny[0].hint == "Roles that may: admin."
	}
}

test_one_role_of_several_is_enough if {
	ask({"caller": {"roles": ["student", "admin"]}}).allow
}

test_an_administrator_of_an_unknown_organisation_may_not if {
	ask({"caller": {"org": "nowhere", "roles": ["admin"]}}).allow == false
}

test_an_operation_that_no_role_has_is_refused if {
	every endpoint in ["admin.keys", "chat.completions", "models", "", null] {
		decision := ask({"caller": {"roles": ["admin"]}, "request": {"endpoint": endpoint}})
		decision.allow == false
		decision.deny[0].hint == ""
	}
}

test_without_a_fact_the_answer_is_no if {
	whole := testing.request(object.union(administrator, {"request": {"endpoint": "admin.upstreams"}}))
	aegis.admin.allow with input as whole
	every path in ["request", "request/endpoint", "caller", "caller/id", "caller/org", "caller/roles"] {
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

# Whatever the data plane's rules would say: they know nothing of the control plane.
test_the_data_plane_does_not_serve_the_control_planes_operations if {
	decision := aegis.decision with input as testing.request(object.union(
		administrator,
		{"request": {"endpoint": "admin.upstreams", "model": "auto"}},
	))
	decision.allow == false
}
