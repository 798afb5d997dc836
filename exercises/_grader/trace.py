"""A traceback cut down to the learner's own lines."""

import re
import traceback


def trimmed(error: BaseException, files: set[str], shown: str | None = None) -> str:
    """The frames of `error` that lie in `files`, then its last line. Nothing of the grader, of torch or of Triton.

    Args:
        error: what was raised.
        files: file names as Python knows them (a notebook's cells have one too).
        shown: the name to print instead, when the file was run from a copy.
    """
    chain = _chain(error)
    deepest = chain[-1]
    lines: list[str] = []
    for link in chain:
        for frame in traceback.extract_tb(link.__traceback__):
            if frame.filename in files:
                text = f"  {shown or _short(frame.filename)}, line {frame.lineno}, in {frame.name}\n    {frame.line}"
                if text not in lines:
                    lines.append(text)
    message = "".join(traceback.format_exception_only(deepest)).strip()
    for file in files:
        message = message.replace(file, shown or _short(file))
    # An address differs from run to run and tells a learner nothing.
    message = re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", message)
    if len(message) > 1000:
        message = message[:1000] + " …"
    return "\n".join([*lines[-6:], message])


def _short(filename: str) -> str:
    if "ipykernel" in filename or filename.startswith("<"):
        return "your cell"
    return filename.replace("\\", "/").rsplit("/", 1)[-1]


def unfinished(error: BaseException) -> str | None:
    """The sentence of a stub that is still a stub, else None."""
    error = _chain(error)[-1]
    return str(error) if isinstance(error, NotImplementedError) and str(error).startswith("exercise ") else None


def _chain(error: BaseException) -> list[BaseException]:
    """`error`, its cause, the cause of that. Triton's interpreter wraps what a kernel raised: the learner's own error is last."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and not any(cause is link for link in chain):
        chain.append(cause)
    return chain
