# METADATA
# title: Models
# description: Which models a caller may name. "auto" leaves the choice to the routing rules.
package rules.models

import data.aegis.caller

default granted := false

granted if caller.modelless

granted if {
	input.request.model == "auto"
	caller.chats
}

granted if {
	model.class in caller.classes
	caller.current(model)
	answered
}

model := data.models[input.request.model]

# Whether the named model answers the operation that is asked for.
default answered := false

answered if input.request.endpoint in object.get(model, "endpoints", caller.chat_family)

# METADATA
# title: Unknown model
# description: The model is not in policies/models/data.yaml.
# custom:
#   code: unknown_model
deny contains {
	"rule": "models.unknown_model",
	"code": "unknown_model",
	"message": $"The model \"{input.request.model}\" is not known.",
	"hint": allowed,
} if {
	not caller.modelless
	input.request.model != "auto"
	not data.models[input.request.model]
}

# METADATA
# title: A model must be named
# description: Embeddings and legacy completions go to the model they name and to no other, since vectors of two models do not compare. So "auto" cannot choose one.
# custom:
#   code: model_required
deny contains {
	"rule": "models.model_required",
	"code": "model_required",
	"message": $"\"auto\" cannot choose a model for {input.request.endpoint}: name one.",
	"hint": allowed,
} if {
	not caller.modelless
	input.request.model == "auto"
	not caller.chats
}

# METADATA
# title: Model for other operations
# description: The model does not answer this operation, see endpoints in policies/models/data.yaml.
# custom:
#   code: model_not_for_endpoint
deny contains {
	"rule": "models.model_not_for_endpoint",
	"code": "model_not_for_endpoint",
	"message": $"The model \"{input.request.model}\" does not answer {input.request.endpoint}.",
	"hint": allowed,
} if {
	is_string(input.request.endpoint)
	model.class in caller.classes
	not answered
}

# METADATA
# title: Model not allowed to the role
# description: No role of the caller may use models of this class.
# custom:
#   code: model_not_allowed
deny contains {
	"rule": "models.model_not_allowed",
	"code": "model_not_allowed",
	"message": $"The caller's roles may not use \"{input.request.model}\", a model of the {model.class} class.",
	"hint": allowed,
} if {
	not model.class in caller.classes
}

# METADATA
# title: Retired model
# description: The provider has retired the model.
# custom:
#   code: model_retired
deny contains {
	"rule": "models.model_retired",
	"code": "model_retired",
	"message": $"The model \"{input.request.model}\" was retired on {model.deprecation_date}.",
	"hint": allowed,
} if {
	is_string(model.deprecation_date)
	not caller.current(model)
}

# No more names than a hint can hold.
names := concat(", ", array.slice(caller.usable_models, 0, 10))

allowed := $"Use \"auto\" or one of: {names}. GET /v1/models lists all." if caller.chats

allowed := $"Use one of: {names}. GET /v1/models lists all." if {
	not caller.chats
	names != ""
}

allowed := $"No model of this caller answers {input.request.endpoint}." if {
	not caller.chats
	names == ""
}
