package aegis

import data.aegis.caller

# METADATA
# title: Administration
# description: For the control plane (/admin/v1), on the same input as the decision, with the operation as endpoint and, where it concerns a key, that key as target. It allows what a role's `admin` in policies/roles/data.yaml names, in the caller's organisation unless a role has all of them, and on keys whose roles the caller may grant.
# entrypoint: true
admin := {"allow": admin_granted, "deny": admin_refusals, "org": admin_org}

default admin_granted := false

admin_granted if {
	admin_permitted
	target_granted
}

default admin_permitted := false

admin_permitted if {
	caller.organization
	is_string(input.caller.id)
	operating[input.request.endpoint]
}

# What the caller's roles may do on the control plane, and with which keys: in its own organisation all of them together,
# in the others those that reach every organisation. One that may look everywhere lifts no other that may write at home.
operating contains operation if {
	some role in caller.roles
	some operation, true in role.admin
}

granting contains name if {
	some role in caller.roles
	some name, true in role.grants
}

operating_everywhere contains operation if {
	some role in caller.roles
	role.all_organizations == true
	some operation, true in role.admin
}

granting_everywhere contains name if {
	some role in caller.roles
	role.all_organizations == true
	some name, true in role.grants
}

default everywhere := false

everywhere if operating_everywhere[input.request.endpoint]

# The gateway looks at no other organisation's keys, so that what belongs to others is not found.
default admin_org := null

admin_org := input.caller.org if {
	not everywhere
	input.caller.org != ""
}

# --- The key that an operation concerns

# The question whether the caller may use the operation at all, before there is a key.
target_granted if input.target == null

target_granted if {
	is_string(input.target.org)
	is_array(input.target.roles)
	is_array(input.target.workflows)
	organization_reached
	count(roles_beyond) == 0
	count(workflows_beyond) == 0
	target_known
}

organization_reached if input.target.org == input.caller.org

organization_reached if everywhere

# No grant above the grantor's own: a role is granted by name, and whatever the data say it may not do more on the
# control plane than the caller. A role that the policy does not know today may be a powerful one tomorrow.
roles_beyond contains name if {
	some name in input.target.roles
	not grantable(name)
}

grantable(name) if {
	grants_there[name]
	role := data.roles[name]
	operations := {operation | some operation, true in object.get(role, "admin", {})}
	grants := {other | some other, true in object.get(role, "grants", {})}
	count(operations - operating) == 0
	count(grants - granting) == 0
	within_reach(role, operations, grants)
}

# Keys of another organisation are for those roles alone that reach it.
default abroad := false

abroad if {
	everywhere
	input.target.org != input.caller.org
}

grants_there := granting if not abroad

grants_there := granting_everywhere if abroad

within_reach(role, _, _) if not role.all_organizations

within_reach(_, operations, grants) if {
	everywhere
	count(operations - operating_everywhere) == 0
	count(grants - granting_everywhere) == 0
}

# A caller that is itself limited to workflows grants no others.
workflows_beyond contains name if {
	some name in input.target.workflows
	not caller.credential_allows(name)
}

workflows_beyond contains "every workflow" if {
	count(input.target.workflows) == 0
	count(input.caller.workflows) > 0
}

# A new key must be one that the data plane could serve. An old one may name what is gone: it can be rotated and revoked.
target_known if input.request.endpoint != "admin.keys.create"

target_known if {
	organization := data.organizations[input.target.org]
	team_known(organization)
	every name in input.target.workflows {
		organization.workflows[name]
	}
}

team_known(_) if input.target.team == ""

team_known(organization) if organization.teams[input.target.team]

# --- Refusals, sorted by rule

admin_refusals := [] if admin_granted

admin_refusals := array.slice([refusal | some id in sort({id | some id, _ in admin_reasons}); refusal := admin_reasons[id]], 0, 32) if {
	not admin_granted
	count(admin_reasons) > 0
}

# METADATA
# title: Administration not allowed
# description: No role of the caller may use this operation of the control plane, or its organisation is unknown.
# custom:
#   code: admin_not_allowed
admin_refusals := [refusal("admin_not_allowed", "The caller's roles may not do this on the control plane.", admin_hint)] if {
	not admin_granted
	count(admin_reasons) == 0
}

# Over the schema's bounds it would be no decision at all.
refusal(code, message, hint) := {
	"rule": $"aegis.{code}",
	"code": code,
	"message": substring(message, 0, 512),
	"hint": substring(hint, 0, 512),
}

default admin_hint := ""

admin_hint := $"Roles that may: {concat(", ", array.slice(permitted, 0, 12))}." if {
	permitted := sort([name | some name, role in data.roles; role.admin[input.request.endpoint] == true])
	count(permitted) > 0
	not admin_permitted
}

# METADATA
# title: Another organisation
# description: The key, or the usage that is asked for, belongs to an organisation that the caller's roles do not reach.
# custom:
#   code: organization_not_allowed
admin_reasons["aegis.organization_not_allowed"] := refusal(
	"organization_not_allowed",
	$"The caller administers \"{input.caller.org}\" alone.",
	"",
) if {
	admin_permitted
	is_string(input.target.org)
	not organization_reached
}

# METADATA
# title: Role beyond the caller's grants
# description: The key has a role that the caller's roles may not grant (grants in policies/roles/data.yaml), that the policy does not know, or that may do more on the control plane than the caller.
# custom:
#   code: role_not_grantable
admin_reasons["aegis.role_not_grantable"] := refusal(
	"role_not_grantable",
	$"The caller may not grant: {concat(", ", array.slice(sort(roles_beyond), 0, 12))}.",
	$"Roles it may grant: {concat(", ", array.slice(grants, 0, 12))}.",
) if {
	admin_permitted
	count(roles_beyond) > 0
	grants := sort([name | some name in granting; grantable(name)])
}

# METADATA
# title: Workflow beyond the caller's own
# description: The caller's credential is limited to workflows, and the key is for others, or for all.
# custom:
#   code: workflow_not_grantable
admin_reasons["aegis.workflow_not_grantable"] := refusal(
	"workflow_not_grantable",
	"The caller's credential is limited to workflows, and the key would not be, or to others.",
	$"Workflows it may grant: {concat(", ", array.slice(sort(input.caller.workflows), 0, 12))}.",
) if {
	admin_permitted
	count(workflows_beyond) > 0
}

# METADATA
# title: A key that could not be used
# description: A new key names an organisation, a team or a workflow that the policy does not know.
# custom:
#   code: unknown_name
admin_reasons["aegis.unknown_name"] := refusal(
	"unknown_name",
	"The policy does not know the organisation, the team or a workflow of the key.",
	"policies/organizations/data.yaml has their names.",
) if {
	admin_permitted
	organization_reached
	not target_known
}
