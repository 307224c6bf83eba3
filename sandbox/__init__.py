"""JumpCloud and Sekoia to run against: emulators over real HTTP, faults, and a verdict."""

from sandbox.accounts import CLIENT_ID, CLIENT_SECRET, Tokens
from sandbox.events import Event, dealt, generate, make_event, mostly_prompt
from sandbox.faults import Faults, Rule
from sandbox.http import Reply, Request, RequestLog
from sandbox.intake import INTAKE_KEY, Intake
from sandbox.jumpcloud import API_KEY, ORGANIZATION_ID, JumpCloud
from sandbox.organizations import Organization, many
from sandbox.platform import TOKEN, Platform
from sandbox.query import SERVICES, Answers
from sandbox.server import Addresses, Sandbox, SandboxError, wait_until
from sandbox.verdict import Verdict, delays_ms, judge

__all__ = [
    "API_KEY",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "INTAKE_KEY",
    "ORGANIZATION_ID",
    "SERVICES",
    "TOKEN",
    "Addresses",
    "Answers",
    "Event",
    "Faults",
    "Intake",
    "JumpCloud",
    "Organization",
    "Platform",
    "Reply",
    "Request",
    "RequestLog",
    "Rule",
    "Sandbox",
    "SandboxError",
    "Tokens",
    "Verdict",
    "dealt",
    "delays_ms",
    "generate",
    "judge",
    "make_event",
    "many",
    "mostly_prompt",
    "wait_until",
]
