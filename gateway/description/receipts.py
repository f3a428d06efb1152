"""The operation of providers: receipts."""

from contracts.problems import ProblemType
from contracts.receipts import NOTIFICATION_PARAMETER, ReceiptWebhook
from contracts.signatures import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from gateway.description import examples
from gateway.description.operations import Operation, Parameter, Reply, Schema
from gateway.receipts.readings import ReceiptOutcome
from gateway.routes import receipts
from gateway.routing import RouteName
from gateway.views import ReceiptTaken

_TEXT: Schema = {"type": "string"}
_FORM: Schema = {
    "description": "A status callback of Twilio; it may have further fields.",
    "type": "object",
    "properties": {
        "MessageSid": _TEXT,
        "MessageStatus": {
            "description": "`delivered` and `read` confirm, `undelivered` and `failed` "
            "are a bounce, others are ignored.",
            **_TEXT,
        },
        "ErrorCode": _TEXT,
    },
    "additionalProperties": _TEXT,
}


def _header(name: str, description: str) -> Parameter:
    return Parameter(name=name, place="header", description=description, schema=_TEXT)


OPERATIONS = {
    RouteName.TAKE_RECEIPT: Operation(
        method="POST",
        path=f"{receipts.PATH}/<provider>",
        tag="Receipts",
        summary="Tell what became of a notification",
        description=(
            "Asks for no key: the signature shows who it is. JSON is a Standard Webhook "
            "(`webhook-…` headers), at most five minutes old, and a form is a status "
            "callback of Twilio (`X-Twilio-Signature`); which of the two a provider "
            "sends is a setting of the gateway. The same receipt may come again, and "
            "receipts in any order, before the notification is `delivered` too. What "
            "is not known is taken all the same: sending it again would not help."
        ),
        permission=None,
        parameters=(
            Parameter(
                name="provider",
                place="path",
                description="The name under which the gateway knows the provider.",
                schema=_TEXT,
                example="twilio",
                required=True,
            ),
            Parameter(
                name=NOTIFICATION_PARAMETER,
                place="query",
                description="Whose receipt it is, where the body is Twilio's.",
                schema=_TEXT,
            ),
            _header(ID_HEADER, "The same whenever a webhook is sent again."),
            _header(TIMESTAMP_HEADER, "When it was sent, in seconds since 1970."),
            _header(SIGNATURE_HEADER, "`v1,` and base64, one for each secret."),
            _header("X-Twilio-Signature", "HMAC-SHA1 over the URL and the form."),
        ),
        body=ReceiptWebhook,
        examples={"bounced": examples.RECEIPT},
        other_bodies={"application/x-www-form-urlencoded": _FORM},
        replies={
            200: Reply(
                description="Taken.",
                body=ReceiptTaken,
                example=ReceiptTaken(outcome=ReceiptOutcome.BOUNCED),
            )
        },
        problems=(
            ProblemType.NOT_FOUND,
            ProblemType.UNAUTHORIZED,
            ProblemType.RATE_LIMITED,
        ),
    ),
}
