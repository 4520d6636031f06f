# METADATA
# title: Models
# description: Which models a caller may name. "auto" leaves the choice to the routing rules.
package rules.models

import data.aegis.caller

default granted := false

granted if input.request.endpoint == "models"

granted if input.request.model == "auto"

granted if {
	model.class in caller.classes
	caller.current(model)
}

model := data.models[input.request.model]

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
	input.request.endpoint != "models"
	input.request.model != "auto"
	not data.models[input.request.model]
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
allowed := $"Use \"auto\" or one of: {concat(", ", array.slice(caller.usable_models, 0, 10))}. GET /v1/models lists all."
