# METADATA
# title: The caller
# description: What the data say about the caller and the purpose of the call, looked up once. Rules import it.
package aegis.caller

organization := data.organizations[input.caller.org]

team := organization.teams[input.caller.team]

# Whose limits and budgets they are. They carry the organisation: two may have a team of one name.
team_subject := concat("/", [input.caller.org, input.caller.team])

user_subject := concat("/", [input.caller.org, user])

# For whom the call is made: the end user that it names where a role may act for users, else the credential's own. A name
# that comes from anybody else is passed on to the provider and counts for nothing here.
user := input.request.end_user.name if acting

user := input.caller.user if not acting

# What a decision says of it: null when the caller acts for itself.
default acting_for := null

acting_for := user if acting

default acting := false

acting if {
	acts_for_users
	input.request.end_user.name != ""
}

default acts_for_users := false

acts_for_users if {
	some role in roles
	role.act_for_users == true
}

# The known roles of the caller. An unknown one grants nothing.
roles := [role | some name in input.caller.roles; role := data.roles[name]]

# Classes of models that at least one role may use.
classes := {class | some role in roles; some class, true in role.classes}

# The workflow that the call counts as. A caller that names none gets the only one of its credential, or the default of
# its organisation, so that an SDK works unchanged.
workflow_name := input.purpose.workflow if input.purpose.workflow != ""

workflow_name := input.caller.workflows[0] if {
	input.purpose.workflow == ""
	count(input.caller.workflows) == 1
}

workflow_name := organization.default_workflow if {
	input.purpose.workflow == ""
	count(input.caller.workflows) != 1
}

workflow := data.workflows[workflow_name] if organization.workflows[workflow_name]

workflow_role if {
	some name in input.caller.roles
	workflow.roles[name]
}

workflow_in_credential if count(input.caller.workflows) == 0

workflow_in_credential if workflow_name in input.caller.workflows

# For hints: the workflows this caller could name. Only evaluated when something was refused.
usable_workflows := [name |
	some name in sort(object.keys(organization.workflows))
	some role in input.caller.roles
	data.workflows[name].roles[role]
	credential_allows(name)
]

credential_allows(_) if count(input.caller.workflows) == 0

credential_allows(name) if name in input.caller.workflows

# The day of the request, for retirement dates.
today := substring(input.request.time, 0, 10)

# --- Operations and models

# Operations that ask no model: the list of models, and what an application says of an answer.
default modelless := false

modelless if input.request.endpoint in {"models", "feedback"}

# Operations in which "auto" may choose the model, and which a model answers whose data name none.
chat_family := {"chat.completions", "responses", "messages", "messages.count_tokens"}

default chats := false

chats if input.request.endpoint in chat_family

# For hints: the models this caller could name. For GET /v1/models: in any operation that its roles may use.
usable_models := [name |
	some name in sort(object.keys(data.models))
	usable_model(data.models[name])
]

usable_model(model) if {
	model.class in classes
	current(model)
	some endpoint in object.get(model, "endpoints", chat_family)
	wanted[endpoint]
	some upstream, _ in model.upstreams
	organization.upstreams[upstream]
	endpoint in input.upstreams[upstream].endpoints
}

wanted contains input.request.endpoint if not modelless

wanted contains endpoint if {
	modelless
	some role in roles
	some endpoint, true in role.endpoints
}

current(model) if model.deprecation_date == null

current(model) if {
	is_string(model.deprecation_date)
	today <= model.deprecation_date
}
