"""Options that the commands about vouchers share."""

from typing import Annotated, TypeAlias

import typer

AsOffice: TypeAlias = Annotated[
    bool, typer.Option("--office", help="Use the voucher office's key; --city then says for which city.")
]
Officer: TypeAlias = Annotated[str, typer.Option("--officer", help="The person who does it, for the story.")]
Note: TypeAlias = Annotated[str, typer.Option("--note", help="Why, for the story.")]
PaperOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--paper", help="A paper that is there, such as contract; repeat it.")
]
VoucherArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="VOUCHER", help="Name of the voucher, such as qingyang-2026-7.")
]
ApplicationArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="APPLICATION", help="Id of the application, such as application-7.")
]
