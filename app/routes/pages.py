"""The page at `/`."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Affect</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
pre { background: #f3f3f3; padding: 1rem; overflow-x: auto }</style>
<h1>Affect</h1>
<p>Tells how the people in a photo, a recording or a video come across, moment by moment: it reads faces, tone of voice
and words. The media stays on this host.</p>
<pre>curl -F file=@talk.mp4 http://127.0.0.1:8000/v1/jobs</pre>
<p><a href="/docs">The API</a> · <a href="/openapi.json">OpenAPI</a> · <a href="/readyz">Is it ready?</a></p>
<h2>What it is not</h2>
<p>It estimates expression as people would label it, not what somebody feels, and it is wrong at times. Do not decide
about a person by it. To infer emotions at work or in education is banned in the EU (AI Act, article 5).</p>
</html>
"""


@router.get("/", response_class=HTMLResponse)
async def index() -> str:
    """What this is."""
    return _PAGE
