"""The operations of ``gateway.routes.templates``."""

from contracts.problems import ProblemType
from gateway.description import examples
from gateway.description.operations import Operation, Reply, path_id
from gateway.description.queries import CURSOR, LIMIT
from gateway.principals import Permission
from gateway.requests import TemplateRequest
from gateway.routes import templates
from gateway.routing import RouteName
from gateway.views import TemplatePage, TemplateView

_TAG = "Templates"
_ONE = f"{templates.PATH}/<template_id>"
_ID = path_id("template_id", "template")
_FAULTS = (
    ProblemType.INVALID_TEMPLATE_NAME,
    ProblemType.INVALID_TEMPLATE_BODY,
    ProblemType.INVALID_CHANNEL,
    ProblemType.TEMPLATE_EXISTS,
)
_SHOWN = Reply(
    description="The template.", body=TemplateView, example=examples.TEMPLATE
)

OPERATIONS = {
    RouteName.CREATE_TEMPLATE: Operation(
        method="POST",
        path=templates.PATH,
        tag=_TAG,
        summary="Keep a template",
        description=(
            "`{{ name }}` stands for a variable, dotted paths reach into objects, and the "
            "older `{{.Name}}` works too. A template runs no code."
        ),
        permission=Permission.SEND,
        body=TemplateRequest,
        examples={"shipped": examples.TEMPLATE_ASKED},
        replies={
            201: Reply(
                description="Kept.",
                body=TemplateView,
                example=examples.TEMPLATE,
                headers=("Location",),
                links={
                    RouteName.GET_TEMPLATE: "$response.body#/id",
                    RouteName.REPLACE_TEMPLATE: "$response.body#/id",
                    RouteName.DELETE_TEMPLATE: "$response.body#/id",
                },
            )
        },
        problems=_FAULTS,
        is_idempotent=True,
    ),
    RouteName.LIST_TEMPLATES: Operation(
        method="GET",
        path=templates.PATH,
        tag=_TAG,
        summary="List templates, newest first",
        permission=Permission.READ,
        parameters=(LIMIT, CURSOR),
        replies={
            200: Reply(
                description="A page.",
                body=TemplatePage,
                example=TemplatePage(items=[examples.TEMPLATE]),
            )
        },
    ),
    RouteName.GET_TEMPLATE: Operation(
        method="GET",
        path=_ONE,
        tag=_TAG,
        summary="Show a template",
        permission=Permission.READ,
        parameters=(_ID,),
        replies={200: _SHOWN},
        problems=(ProblemType.NOT_FOUND,),
    ),
    RouteName.REPLACE_TEMPLATE: Operation(
        method="PUT",
        path=_ONE,
        tag=_TAG,
        summary="Replace a template",
        description="What was accepted with its old words keeps them.",
        permission=Permission.SEND,
        body=TemplateRequest,
        examples={"shipped": examples.TEMPLATE_ASKED},
        parameters=(_ID,),
        replies={200: _SHOWN},
        problems=(*_FAULTS, ProblemType.NOT_FOUND),
    ),
    RouteName.DELETE_TEMPLATE: Operation(
        method="DELETE",
        path=_ONE,
        tag=_TAG,
        summary="Delete a template",
        permission=Permission.SEND,
        parameters=(_ID,),
        replies={204: Reply(description="It is gone.")},
        problems=(ProblemType.NOT_FOUND, ProblemType.TEMPLATE_IN_USE),
    ),
}
