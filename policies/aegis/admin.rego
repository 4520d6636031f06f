package aegis

import data.aegis.caller

# METADATA
# title: Administration
# description: For the control plane (/admin/v1), on the same input as the decision, with the operation as endpoint. It allows what a role's `admin` in policies/roles/data.yaml names, and nothing else.
# entrypoint: true
admin := {"allow": admin_granted, "deny": admin_refusals}

default admin_granted := false

admin_granted if {
	caller.organization
	is_string(input.caller.id)
	some role in caller.roles
	role.admin[input.request.endpoint] == true
}

admin_refusals := [] if admin_granted

# METADATA
# title: Administration not allowed
# description: No role of the caller may use this operation of the control plane, or its organisation is unknown.
# custom:
#   code: admin_not_allowed
admin_refusals := [{
	"rule": "aegis.admin_not_allowed",
	"code": "admin_not_allowed",
	"message": "The caller's roles may not do this on the control plane.",
	"hint": admin_hint,
}] if {
	not admin_granted
}

default admin_hint := ""

admin_hint := $"Roles that may: {concat(", ", array.slice(permitted, 0, 12))}." if {
	permitted := sort([name | some name, role in data.roles; role.admin[input.request.endpoint] == true])
	count(permitted) > 0
}
