# METADATA
# title: Access
# description: Who may call, on which endpoint, for which workflow.
package rules.access

import data.aegis.caller

# What a request needs. Each line must hold; a missing fact fails it.
default granted := false

granted if {
	team_granted
	endpoint_granted
	workflow_granted
	end_user_granted
	is_object(input.purpose.tags)
	is_string(input.caller.id)
}

team_granted if caller.team

team_granted if {
	input.caller.team == ""
	caller.organization.team_optional
}

endpoint_granted if {
	some role in caller.roles
	role.endpoints[input.request.endpoint]
}

# What asks no model is for no workflow.
workflow_granted if caller.modelless

workflow_granted if {
	caller.workflow_role
	caller.workflow_in_credential
}

# A body may say what it likes: without the role it counts for nothing. Who sends the header means it.
end_user_granted if {
	is_string(input.request.end_user.name)
	input.request.end_user.source in {"none", "body"}
}

end_user_granted if {
	is_string(input.request.end_user.name)
	input.request.end_user.source == "header"
	caller.acts_for_users
}

# METADATA
# title: Acting for users not allowed
# description: The request says in x-aegis-user for whom it is made, and no role of the caller may act for users (act_for_users in policies/roles/data.yaml).
# custom:
#   code: acting_not_allowed
deny contains {
	"rule": "access.acting_not_allowed",
	"code": "acting_not_allowed",
	"message": "The caller's roles may not act for other users.",
	"hint": "Leave out x-aegis-user, or ask for a key with a role that may act for users.",
} if {
	input.request.end_user.source == "header"
	not caller.acts_for_users
}

# METADATA
# title: Unknown organisation
# description: The credential names an organisation that policies/organizations/data.yaml does not list.
# custom:
#   code: unknown_organization
deny contains {
	"rule": "access.unknown_organization",
	"code": "unknown_organization",
	"message": $"The organisation \"{input.caller.org}\" is not known to the policy.",
	"hint": "",
} if {
	not data.organizations[input.caller.org]
}

# METADATA
# title: A team is needed
# description: The organisation's budgets are its teams', so a credential must name one unless team_optional is set.
# custom:
#   code: team_required
deny contains {
	"rule": "access.team_required",
	"code": "team_required",
	"message": $"A credential of \"{input.caller.org}\" must name a team.",
	"hint": "Ask for a key that belongs to a team.",
} if {
	input.caller.team == ""
	caller.organization
	not caller.organization.team_optional
}

# METADATA
# title: Unknown team
# description: The credential names a team that its organisation does not have.
# custom:
#   code: unknown_team
deny contains {
	"rule": "access.unknown_team",
	"code": "unknown_team",
	"message": $"The organisation \"{input.caller.org}\" has no team \"{input.caller.team}\".",
	"hint": "",
} if {
	input.caller.team != ""
	caller.organization
	not caller.organization.teams[input.caller.team]
}

# METADATA
# title: No known role
# description: None of the credential's roles is in policies/roles/data.yaml.
# custom:
#   code: unknown_role
deny contains {
	"rule": "access.unknown_role",
	"code": "unknown_role",
	"message": "The credential holds no role that the policy knows.",
	"hint": $"Known roles: {names(object.keys(data.roles))}.",
} if {
	count(caller.roles) == 0
}

# METADATA
# title: Endpoint not allowed to the role
# description: No role of the caller may use this operation.
# custom:
#   code: endpoint_not_allowed
deny contains {
	"rule": "access.endpoint_not_allowed",
	"code": "endpoint_not_allowed",
	"message": $"The caller's roles may not use {input.request.endpoint}.",
	"hint": "",
} if {
	count(caller.roles) > 0
	not endpoint_granted
}

# METADATA
# title: A workflow is needed
# description: The call names no workflow, its credential is not limited to exactly one, and its organisation has no default.
# custom:
#   code: workflow_required
deny contains {
	"rule": "access.workflow_required",
	"code": "workflow_required",
	"message": "The request names no workflow.",
	"hint": $"Send x-aegis-workflow with one of: {names(caller.usable_workflows)}.",
} if {
	not caller.modelless
	caller.organization
	not caller.workflow_name
}

# METADATA
# title: Unknown workflow
# description: The organisation does not have the workflow that the call names.
# custom:
#   code: unknown_workflow
deny contains {
	"rule": "access.unknown_workflow",
	"code": "unknown_workflow",
	"message": $"The workflow \"{caller.workflow_name}\" is not known.",
	"hint": $"This caller's workflows: {names(caller.usable_workflows)}.",
} if {
	not caller.modelless
	caller.workflow_name
	not caller.workflow
}

# METADATA
# title: Workflow not allowed to the role
# description: The organisation has the workflow, but no role of the caller may use it.
# custom:
#   code: workflow_not_allowed
deny contains {
	"rule": "access.workflow_not_allowed",
	"code": "workflow_not_allowed",
	"message": $"The caller's roles may not use the workflow \"{caller.workflow_name}\".",
	"hint": $"This caller's workflows: {names(caller.usable_workflows)}.",
} if {
	not caller.modelless
	caller.workflow
	not caller.workflow_role
}

# METADATA
# title: Workflow outside the credential
# description: The credential is limited to workflows, and this is not one of them.
# custom:
#   code: workflow_outside_credential
deny contains {
	"rule": "access.workflow_outside_credential",
	"code": "workflow_outside_credential",
	"message": $"This credential is not for the workflow \"{caller.workflow_name}\".",
	"hint": $"This caller's workflows: {names(caller.usable_workflows)}.",
} if {
	not caller.modelless
	caller.workflow
	not caller.workflow_in_credential
}

# METADATA
# title: Unknown institution
# description: The organisation lists its institutions, and the tag names none of them.
# custom:
#   code: unknown_institution
deny contains {
	"rule": "access.unknown_institution",
	"code": "unknown_institution",
	"message": $"The institution \"{tag}\" is not known.",
	"hint": $"Known institutions: {names(object.keys(caller.organization.institutions))}.",
} if {
	tag := input.purpose.tags.institution
	caller.organization.institutions
	not caller.organization.institutions[tag]
}

# METADATA
# title: Unknown course
# description: The institution that the tags name lists its courses, and the course is none of them.
# custom:
#   code: unknown_course
deny contains {
	"rule": "access.unknown_course",
	"code": "unknown_course",
	"message": $"The institution \"{input.purpose.tags.institution}\" has no course \"{tag}\".",
	"hint": $"Its courses: {names(object.keys(courses))}.",
} if {
	tag := input.purpose.tags.course
	courses := caller.organization.institutions[input.purpose.tags.institution].courses
	not courses[tag]
}

# For hints: sorted, and no more than a hint can hold.
names(list) := concat(", ", array.slice(sort(list), 0, 12))
