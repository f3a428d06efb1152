"""Times in contracts: always with their zone."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

#: msgspec takes times without a zone unless told not to.
UtcTime = Annotated[datetime, Meta(tz=True)]
