r"""Every code a diagnostic can have: what to avoid, what to prefer, and why.

Plain data, imported only where a code is explained. `authz.lang.errors_page` makes docs/errors.md
of it, and the tests run every example: `avoid` is found to be exactly this, `prefer` is valid.
The examples of a size limit exceed small limits rather than those of L6; those of `lint --tools` are
about the server that docs/errors.md describes. Control characters stand as Python escapes, so that
this file shows what it holds.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Code(NamedTuple):
    """One code: a title, an example that has it, the same without it, and the reason."""

    code: str
    title: str
    avoid: str
    prefer: str
    why: str


_ALL: Final = (
    Code(
        "across-without-condition",
        "`across tenants` without a condition",
        """\
tool "read_document" on "document" {
  allow role "auditor" across tenants
}
""",
        """\
resource "document" { partners: set<string> }

tool "read_document" on "document" {
  allow role "auditor" across tenants when tenant in resource.partners
}
""",
        "`across tenants` is the only way past the wall between tenants (L63). Without a condition it would open every "
        "tenant's resources to everyone who holds the role.",
    ),
    Code(
        "allow-without-who",
        "An allow that says neither who nor when",
        """\
tool "get_server_time" { allow }
""",
        """\
tool "get_server_time" { allow anyone }
""",
        "Is it meant for every authenticated subject (`anyone`), or for callers without a subject too (`public`)? "
        "Access for all is never the result of leaving something out (L22).",
    ),
    Code(
        "attribute-hiding",
        "Leaving an attribute out may help the caller",
        """\
context { suspended?: bool }

tool "read_*" {
  allow anyone unless context has suspended
}
""",
        """\
context { suspended: bool }

tool "read_*" {
  allow anyone unless context.suspended
}
""",
        "An attribute that is missing makes a comparison unknown, and what is unknown never widens access (L51). `has` "
        "and `??` turn its absence into an answer, so whoever builds the request can change the decision by leaving it "
        "out (L52).",
    ),
    Code(
        "bidirectional-control",
        "A bidirectional control character",
        """\
tool "delete_\u202eelif" { allow public }
""",
        """\
tool "delete_file" { allow public }
""",
        "Such a character makes the text read differently from what it means, which has been used to smuggle code "
        "past reviewers (Trojan Source, CVE-2021-42574). It has no place in a policy, not even in a comment (L1).",
    ),
    Code(
        "byte-order-mark",
        "A byte order mark",
        """\
\ufefftool "read_document" { allow public }
""",
        """\
tool "read_document" { allow public }
""",
        "Policy files are UTF-8, which needs no byte order mark; editors hide it, and other tools take it for text "
        "(L1). Save the file as UTF-8 without one.",
    ),
    Code(
        "chained-comparison",
        "A chain of comparisons",
        """\
context { risk: number }

tool "read_*" {
  allow anyone when 0 <= context.risk < 50
}
""",
        """\
context { risk: number }

tool "read_*" {
  allow anyone when context.risk in 0..50
}
""",
        "Languages disagree on what a chain means: some compare the first answer, true or false, with the third value. "
        "Write a range, or join two comparisons with `and` (L31).",
    ),
    Code(
        "condition-too-long",
        "A condition of too many terms",
        """\
tool "read_*" {
  allow when subject.id == "a" or subject.id == "b" or subject.id == "c" or subject.id == "d"
}
""",
        """\
tool "read_*" {
  allow when subject.id in ["a", "b", "c", "d"]
}
""",
        "A condition has at most 1 000 terms, those of the `let`s it uses included, so that every decision has a "
        "bounded cost (L6, L40). A list of values belongs into a set or into an attribute.",
    ),
    Code(
        "conflicting-types",
        "An attribute with a different type in each resource",
        """\
resource "document" { size: number }
resource "image" { size: string }

tool "read_*" {
  allow anyone when resource.size == 1
}
""",
        """\
resource "document" { size: number }
resource "image" { size: string }

tool "read_*" on "document" {
  allow anyone when resource.size == 1
}
""",
        "The block may meet both resources, and no comparison fits both types (L13). Say with `on` which resources are "
        "meant, or give the attribute one type.",
    ),
    Code(
        "control-character",
        "A control character",
        """\
tool "read_*" { deny because "no\x07" }
""",
        """\
tool "read_*" { deny because "no\\u{7}" }
""",
        "Control characters cannot be seen in an editor and may act on a terminal. Where text needs one, an escape "
        "shows it (L1, L4).",
    ),
    Code(
        "cycle",
        "Something that contains itself",
        """\
role "editor" extends "viewer"
role "viewer" extends "editor"
""",
        """\
role "viewer"
role "editor" extends "viewer"
""",
        "On a cycle of roles or scopes everyone would hold everything, and a `let` or a tool group that leads back to "
        "itself has no meaning (L10, L11, L15, L16).",
    ),
    Code(
        "duplicate-declaration",
        "One name declared twice",
        """\
role "viewer"
role "viewer" extends "guest"
role "guest"
""",
        """\
role "viewer" extends "guest"
role "guest"
""",
        "Of two declarations, nobody could say which one counts: a reader who found one would not look for the other "
        "(L17, L23).",
    ),
    Code(
        "duplicate-test",
        "Two tests of one name",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer"
  call "read_document" on resource "document" "d1"
  expect allow
}
test "viewers read" {
  as subject "bob"
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer"
  call "read_document" on resource "document" "d1"
  expect allow
}
test "others do not" {
  as subject "bob"
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        "A report that says which test failed must say it of one test.",
    ),
    Code(
        "dynamic-attribute",
        "An attribute that nothing declares",
        """\
tool "read_*" {
  allow when context.mfa
}
""",
        """\
context { mfa: bool }

tool "read_*" {
  allow when context.mfa
}
""",
        "It is allowed, but a misspelt name or a value of another type shows only when a decision turns out unknown "
        "(L13). A declaration lets every use be checked.",
    ),
    Code(
        "empty-name",
        "An empty name",
        """\
tool "read_*" { require scope "" }
""",
        """\
scope "docs:read"

tool "read_*" { require scope "docs:read" }
""",
        "No request carries an empty scope, role, tool or type, so nothing could ever match it (L60).",
    ),
    Code(
        "empty-policy",
        "A policy without tool blocks",
        """\
role "viewer"
""",
        """\
role "viewer"

tool "read_*" { allow role "viewer" }
""",
        "What no block allows is denied (L61): this policy answers every request with DENY. Perhaps the path is not "
        "the one that was meant.",
    ),
    Code(
        "empty-test-file",
        "A test file without tests",
        """\
fixture ann = subject "ann" roles "viewer"
""",
        """\
fixture ann = subject "ann" roles "viewer"

test "viewers read" {
  as ann
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        "A file of tests that tests nothing passes, and looks as if something had been proven (L80).",
    ),
    Code(
        "extends-derived-role",
        "A role that extends a derived role",
        """\
role "owner" when resource.owner == subject.id
role "admin" extends "owner"
""",
        """\
role "owner" when resource.owner == subject.id
role "admin"

tool "delete_*" { allow role "owner", "admin" }
""",
        "A derived role is held when its condition is true, and by no other way (L11). Name both roles where either "
        "is enough.",
    ),
    Code(
        "file-too-large",
        "A file over its limit",
        """\
# one file of a mebibyte and more
""",
        """\
# a file for each server, each of a size that people read
""",
        "A policy file has at most 1 MiB (L6); the limit is asked before anything is read. A policy is made of all the "
        "files in its directory (L1), so a long one can be split wherever that reads best.",
    ),
    Code(
        "invalid-cidr",
        "Text that is not a network",
        """\
context { ip: ip }

tool "read_*" { allow when context.ip in cidr("10.0.0.1/8") }
""",
        """\
context { ip: ip }

tool "read_*" { allow when context.ip in cidr("10.0.0.0/8") }
""",
        "A network is written as its first address and the length of its prefix, `10.0.0.0/8` or `2001:db8::/32` "
        "(L38). An address with bits beyond the prefix is more often a mistake than meant.",
    ),
    Code(
        "invalid-duration",
        "A number and unit that are not a duration",
        """\
context { age: duration }

tool "read_*" { allow when context.age < 015m }
""",
        """\
context { age: duration }

tool "read_*" { allow when context.age < 15m }
""",
        "A duration is a whole number without leading zeros and one of the units `ms`, `s`, `m`, `h`, `d`, and is at "
        "most 3 660 000 days (L31, L39).",
    ),
    Code(
        "invalid-entity",
        "Text that does not name an entity",
        """\
tool "read_*" { allow when subject in "engineering" }
""",
        """\
tool "read_*" { allow when subject in "group:engineering" }
""",
        "Membership is asked of entities, written `type:id`; only `group:` holds subjects (L33). Anything else would "
        "never be true.",
    ),
    Code(
        "invalid-escape",
        "A backslash that starts no escape",
        """\
tool "read_*" { deny because "not from C:\\data" }
""",
        """\
tool "read_*" { deny because "not from C:\\\\data" }
""",
        'The escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{…}` (L4). A backslash itself is written twice.',
    ),
    Code(
        "invalid-fixture",
        "A fixture that is neither a subject nor a resource",
        """\
fixture ann = subject "ann"
fixture bob = ann

test "others do not read" {
  as ann
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        """\
fixture ann = subject "ann"
fixture bob = subject "bob"

test "others do not read" {
  as ann
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        "A fixture stands for a caller or for a resource, and is written out, so that a test can be read without "
        "following names through the file (L80).",
    ),
    Code(
        "invalid-identifier",
        "A name that no request can carry",
        """\
role "re\u0301viseur"
""",
        """\
role "r\u00e9viseur"
""",
        "Requests whose scopes, roles, tools, types or tenants hold control characters or are not in Unicode normal "
        "form NFC are refused (L60). A rule that asks for such a name would never apply (L1).",
    ),
    Code(
        "invalid-ip",
        "Text that is not an address",
        """\
context { ip: ip }

tool "read_*" { allow when context.ip == ip("10.0.0") }
""",
        """\
context { ip: ip }

tool "read_*" { allow when context.ip == ip("10.0.0.1") }
""",
        "An address is IPv4 or IPv6, written in full and without a zone (L12, L38). A literal is read when the policy "
        "is, so that a mistake shows now.",
    ),
    Code(
        "invalid-limit",
        "A limit that cannot be counted",
        """\
tool "export_*" { limit 0 per 1m by user }
""",
        """\
tool "export_*" { limit 10 per 1m by subject }
""",
        "A limit is one call or more in a time longer than nothing, counted by `subject`, `client`, `tenant`, `tool` "
        "or `ip` (L22, L70).",
    ),
    Code(
        "invalid-number",
        "A number that cannot be exact",
        """\
context { risk: number }

tool "read_*" { allow when context.risk < 0.00001 }
""",
        """\
context { risk: number }

tool "read_*" { allow when context.risk < 0.0001 }
""",
        "Numbers are exact: integers up to 2^53, decimals of at most four digits after the point up to 9·10^11, no "
        "exponents, no leading zeros (L12, L39). So no decision depends on rounding.",
    ),
    Code(
        "invalid-path",
        "A path that no request can be under",
        """\
tool "read_file" (path: string) {
  allow when args.path under "/srv/../data/"
}
""",
        """\
tool "read_file" (path: string) {
  allow when args.path under "/data"
}
""",
        "`under` compares segment by segment and knows no `.`, `..`, empty segments, backslashes or percent-encoded "
        "separators, so that nothing can be climbed out of (L35).",
    ),
    Code(
        "invalid-pattern",
        "Braces in a pattern that hold no expression",
        """\
tool "read_file" (path: string) {
  allow when args.path like "/home/{subject.id/*"
}
""",
        """\
tool "read_file" (path: string) {
  allow when args.path like "/home/{subject.id}/*"
}
""",
        "In patterns `{…}` inserts the value of an expression, matched literally; the braces themselves are written "
        "`{{` and `}}` (L34, L35).",
    ),
    Code(
        "invalid-regex",
        "Text that is not a regular expression",
        """\
tool "read_file" (path: string) {
  allow when args.path matches "(.+)/\\\\1"
}
""",
        """\
tool "read_file" (path: string) {
  allow when args.path matches "[a-z]+/[a-z]+"
}
""",
        "`matches` takes RE2, which answers in linear time whatever the text, and therefore has no back-references and "
        "no look-around (L36).",
    ),
    Code(
        "invalid-request",
        "A test whose request would be refused",
        """\
test "nobody reads" {
  as subject ""
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        """\
test "nobody reads" {
  as anonymous
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        "Such a request is not evaluated but refused (L60), so there is no decision that a test could expect.",
    ),
    Code(
        "invalid-time",
        "Text that is not a time",
        """\
tool "read_*" { allow when now < time("2026-12-31") }
""",
        """\
tool "read_*" { allow when now < time("2026-12-31T23:59:59Z") }
""",
        "A time is an RFC 3339 date and time with an offset: without one it would mean another moment in every zone "
        "(L12, L38). The `at` of a test takes six fractional digits at most.",
    ),
    Code(
        "invalid-utf8",
        "Bytes that are not UTF-8",
        """\
# a file that was saved as UTF-16 or Latin-1
""",
        """\
# the same file saved as UTF-8
""",
        "Policy files are UTF-8 (L1). Guessing another encoding could turn one name into another.",
    ),
    Code(
        "limit-not-enforced",
        "A limit that is not enforced yet",
        """\
tool "export_*" {
  allow anyone
  limit 10 per 1m by subject
}
""",
        """\
tool "export_*" {
  allow anyone
}
""",
        "Limits are read and checked, but this version does not count calls (L70). Keep the limit that stands in front "
        "of the server.",
    ),
    Code(
        "lone-carriage-return",
        "A carriage return without a newline",
        """\
# old\rtool "read_*" { deny }
""",
        """\
# old
tool "read_*" { deny }
""",
        "Some editors end a line there and others do not: the rule above would be seen by a reviewer and be part of "
        "a comment for the parser (L2). End lines with LF or CRLF.",
    ),
    Code(
        "manifest-mismatch",
        "A policy that is not the one in its manifest",
        """\
# a file that was changed, cut short, added or removed after `authz-eval lock`
""",
        """\
# the file that was locked, byte for byte; or look through the change, and lock again
""",
        "`authz.sum` holds the SHA-256 of every policy file. Where it is there, it must agree in full and be as "
        "`authz-eval lock` writes it, so that a policy that was copied by halves is never half believed (L7).",
    ),
    Code(
        "misplaced-cidr",
        "A network where a value belongs",
        """\
context { ip: ip }

tool "read_*" { allow when context.ip == cidr("10.0.0.0/8") }
""",
        """\
context { ip: ip }

tool "read_*" { allow when context.ip in cidr("10.0.0.0/8") }
""",
        "A network is a set of addresses: an address is `in` it, never equal to it (L38).",
    ),
    Code(
        "misplaced-range",
        "A range where a value belongs",
        """\
context { risk: number }

tool "read_*" { allow when context.risk == 0..50 }
""",
        """\
context { risk: number }

tool "read_*" { allow when context.risk in 0..50 }
""",
        "A range is what a value is `in`; both ends are included (L31).",
    ),
    Code(
        "nesting-too-deep",
        "Too many levels of nesting",
        """\
tool "read_*" { allow when ((((subject.id == "ann")))) }
""",
        """\
tool "read_*" { allow when subject.id == "ann" }
""",
        "Brackets, `not` and `if` nest at most 64 levels, `let`s put in (L6). Nobody can review more. Name the parts "
        "with `let`, and join conditions with `and` and `or`, which do not nest.",
    ),
    Code(
        "not-a-condition",
        "A value where a condition belongs",
        """\
tool "read_*" { allow when subject.id }
""",
        """\
tool "read_*" { allow when subject.id == "ann" }
""",
        "Only true and false decide. There is no conversion: a string that is not empty, or a number that is not zero, "
        "is not true (L32).",
    ),
    Code(
        "not-a-literal",
        "An expression where a literal belongs",
        """\
resource "document" { owner: string }

tool "read_*" on "document" {
  allow when subject.id in [resource.owner, "root"]
}
""",
        """\
resource "document" { owner: string }

tool "read_*" on "document" {
  allow when subject.id == resource.owner or subject.id == "root"
}
""",
        "Sets, obligations, networks and time zones are fixed when the policy is read, and so hold literals only "
        "(L22, L38, L39).",
    ),
    Code(
        "not-a-map",
        "A computed key into declared attributes",
        """\
context { region: string  site: string }

tool "read_*" { allow when context[subject.id] == "eu" }
""",
        """\
context { region: map<string> }

tool "read_*" { allow when context.region[subject.id] == "eu" }
""",
        "Which attribute a computed key reads is known only at the decision, so its type could not be checked (L31). "
        "Declare a `map` for values that are looked up by key.",
    ),
    Code(
        "not-a-value",
        "A part of the request where a value belongs",
        """\
tool "read_*" { allow when subject == "ann" }
""",
        """\
tool "read_*" { allow when subject.id == "ann" }
""",
        "`subject`, `client`, `resource`, `tool`, `args` and `context` have attributes but are no values themselves; "
        "only `subject` and `resource` may stand before `in` (L30).",
    ),
    Code(
        "not-an-attribute",
        "`has` or `??` of something that is no attribute",
        """\
context { risk?: number }

tool "read_*" { allow when (context.risk + 1) ?? 0 < 50 }
""",
        """\
context { risk?: number }

tool "read_*" { allow when (context.risk ?? 0) + 1 < 50 }
""",
        "Only an attribute can be absent. The result of an operation is unknown for other reasons too, and `??` must "
        "not paper over those (L37).",
    ),
    Code(
        "not-for-one-tenant",
        "A declaration that a tenant block cannot hold",
        """\
tenant "acme" {
  role "clerk"
}
""",
        """\
role "clerk"

tenant "acme" {
  tool "export_*" { deny role "clerk" }
}
""",
        "Scopes, plain roles, types and tool groups mean the same for all tenants. What one tenant has to itself are "
        "tool blocks, derived roles and `let`s (L24).",
    ),
    Code(
        "not-in-union",
        "A string that is not one of the declared ones",
        """\
resource "document" { visibility: "private" | "org" }

tool "read_*" on "document" {
  allow anyone when resource.visibility == "public"
}
""",
        """\
resource "document" { visibility: "private" | "org" }

tool "read_*" on "document" {
  allow anyone when resource.visibility == "org"
}
""",
        "The attribute can never have this value, so the comparison would always be false (L13).",
    ),
    Code(
        "optional-in-deny",
        "A deny that fires where an optional attribute is missing",
        """\
context { risk?: number }

tool "read_*" {
  allow anyone
  deny when context.risk > 50
}
""",
        """\
context { risk?: number }

tool "read_*" {
  allow anyone
  deny when context has risk and context.risk > 50
}
""",
        "A deny applies unless its condition is certainly false, so it also applies where the attribute is missing "
        "(L51). That may be just what is wanted; say which.",
    ),
    Code(
        "pattern-not-literal",
        "A pattern that is not written out",
        """\
resource "document" { prefix: string }

tool "read_file" (path: string) on "document" {
  allow when args.path under resource.prefix
}
""",
        """\
resource "document" { folder: string }

tool "read_file" (path: string) on "document" {
  allow when args.path under "/srv/{resource.folder}"
}
""",
        "What stands right of `like`, `under` and `matches` is compiled with the policy and never comes from a "
        "request. Values go into a pattern by `{…}`, and are then matched literally (L34, L35, L36).",
    ),
    Code(
        "policy-too-large",
        "A policy over its limit",
        """\
# the file with which the policy holds more than 64 MiB
""",
        """\
# rules that compare attributes, in place of a rule for each user or document
""",
        "All files of a policy hold at most 64 MiB together (L6); the files after the one that goes over are not read. "
        "So much text is data: put it into attributes, and let a rule compare them.",
    ),
    Code(
        "reserved-attribute",
        "A declaration of a built-in attribute",
        """\
resource "document" { id: string  owner: string }
""",
        """\
resource "document" { owner: string }
""",
        "`type`, `id`, `tenant` and `ancestors` of a resource, `id` and `groups` of a subject and `id` of a client are "
        "always there, and attributes of these names in a request are ignored (L12).",
    ),
    Code(
        "reserved-name",
        "A name that already means a part of the request",
        """\
let roles = ["viewer", "editor"]
""",
        """\
let reading_roles = ["viewer", "editor"]
""",
        "`subject`, `client`, `scopes`, `roles`, `tenant`, `tool`, `resource`, `args`, `context` and `now` mean the "
        "same in every policy (L4, L30).",
    ),
    Code(
        "schema-optional-argument",
        "An allow that an argument left out makes void",
        """\
scope "files:read"

tool "list_directory" (path: string, sortBy?: "name" | "size") {
  require scope "files:read"
  allow anyone when args.path under "/srv" and args.sortBy == "name"
}
""",
        """\
scope "files:read"

tool "list_directory" (path: string, sortBy?: "name" | "size") {
  require scope "files:read"
  allow anyone when args.path under "/srv" and (args.sortBy ?? "name") == "name"
}
""",
        "The server's schema does not require the argument, and a condition that reads a missing one is unknown, "
        "which no allow accepts (L51). Callers who rely on the server's default would be denied. Found with `lint "
        "--tools`.",
    ),
    Code(
        "schema-type-mismatch",
        "An argument of another type than the server's schema says",
        """\
tool "read_file" (path: string, tail?: string) {
  allow anyone when args.path under "/srv"
}
""",
        """\
tool "read_file" (path: string, tail?: number) {
  allow anyone when args.path under "/srv"
}
""",
        "Nothing is converted (L32): a value of another type is unknown, so an allow that reads it never applies, and "
        "a deny always does. Found with `lint --tools`.",
    ),
    Code(
        "schema-unknown-argument",
        "An argument that no tool of the block has",
        """\
tool "read_file" (file: string) {
  allow anyone when args.file under "/srv"
}
""",
        """\
tool "read_file" (path: string) {
  allow anyone when args.path under "/srv"
}
""",
        "A call never carries it, so what reads it is unknown: an allow never applies, and a deny always does. A "
        "schema that lets in any members, or says so in a way that is not understood, has every argument. Found with "
        "`lint --tools`.",
    ),
    Code(
        "schema-value-mismatch",
        "A text that the server's schema does not list",
        """\
tool "list_directory" (path: string, sortBy?: "name" | "date") {
  allow anyone when args.path under "/srv"
}
""",
        """\
tool "list_directory" (path: string, sortBy?: "name" | "size") {
  allow anyone when args.path under "/srv"
}
""",
        "The schema says by `enum` or `const` which values there are; a call with another one is not valid, so the "
        "comparison is never true. Found with `lint --tools`.",
    ),
    Code(
        "string-too-long",
        "A string of too many characters",
        """\
tool "read_*" { deny because "a text of far more than ten thousand characters …" }
""",
        """\
tool "read_*" { deny because "see the handbook" }
""",
        "A string has at most 10 000 characters (L6). Longer texts belong into a document that the message names.",
    ),
    Code(
        "syntax",
        "Text that is not a policy",
        """\
tool "read_*" {
  allow roles "viewer"
}
""",
        """\
tool "read_*" {
  allow role "viewer"
}
""",
        "The statement or declaration that holds the error is left out, and checking goes on after it, so the other "
        "errors of the policy show at the same time (L5). A policy with any error is not loaded.",
    ),
    Code(
        "too-many-rules",
        "A policy of too many rules",
        """\
tool "read_a" { allow role "viewer" }
tool "read_b" { allow role "viewer" }
tool "read_c" { allow role "viewer" }
""",
        """\
tool "read_*" { allow role "viewer" }
""",
        "A policy has at most 100 000 rules (L6). One that grows with its users or documents holds data: put these "
        "into attributes, and let a rule compare them.",
    ),
    Code(
        "type-mismatch",
        "Values of types that do not go together",
        """\
context { risk: number }

tool "read_*" { allow when context.risk == "low" }
""",
        """\
context { risk: number }

tool "read_*" { allow when context.risk < 10 }
""",
        "There is no conversion between types (L32): the comparison could only ever be unknown, and the rule would "
        "never do what it says.",
    ),
    Code(
        "undeclared-role",
        "A role that is used and not declared",
        """\
tool "read_*" { allow role "veiwer" }
""",
        """\
role "viewer"

tool "read_*" { allow role "viewer" }
""",
        "Roles need not be declared. Where they are, a misspelt one shows here and not as a caller who is refused.",
    ),
    Code(
        "undeclared-scope",
        "A scope that is used and not declared",
        """\
tool "read_*" { require scope "docs:raed" }
""",
        """\
scope "docs:read"

tool "read_*" { require scope "docs:read" }
""",
        "Scopes need not be declared (L10). Where they are, a misspelt one shows here and not as a caller who is "
        "refused.",
    ),
    Code(
        "unexpected-character",
        "A character that means nothing",
        """\
tool "read_*" { allow anyone; }
""",
        """\
tool "read_*" { allow anyone }
""",
        "Statements end where the next one starts. Names of scopes, roles, tools, types and tenants stand in double "
        "quotes; other names are made of the letters A to Z, digits and `_` (L2, L4).",
    ),
    Code(
        "unguarded-destructive-tool",
        "A destructive tool that is allowed like any other",
        """\
tool "*" {
  allow anyone
}
""",
        """\
role "cleaner"

tool "*" {
  allow anyone
}

tool "delete_file" {
  require role "cleaner"
}
""",
        "The server says that the tool overwrites or deletes, or says neither that nor that it only reads, which is "
        "what the specification takes for granted. Give it a `deny` or a `require` in a block that names it, or that "
        "leaves other tools of the server out: a requirement for every tool alike does not tell reading from "
        "deleting, and an allow holds nobody back, since the next one opens the tool again. The guard must hold "
        "wherever the allow does, for its tenants and its resource types. Found with `lint --tools`.",
    ),
    Code(
        "unknown-attribute",
        "An attribute that is not declared",
        """\
resource "document" { owner: string }

tool "read_*" on "document" {
  allow when resource.ownr == subject.id
}
""",
        """\
resource "document" { owner: string }

tool "read_*" on "document" {
  allow when resource.owner == subject.id
}
""",
        "Where attributes are declared, an undeclared one is taken for a mistake: it would be missing from every "
        "request, and the rule would never do what it says (L13).",
    ),
    Code(
        "unknown-clause",
        "A clause that a test does not know",
        """\
test "viewers read" {
  as subject "ann" with rolez "viewer"
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer"
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        "A clause that were passed over would leave the test asking something else than it says (L80).",
    ),
    Code(
        "unknown-clause-attribute",
        "Something of a tool that a test does not know",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer", tool { readonly: true }
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer", tool { read_only: true }
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        "Of a tool a request says `server`, `tags` and the hints `read_only`, `destructive`, `idempotent` and "
        "`open_world`, and nothing else (L30, L80).",
    ),
    Code(
        "unknown-fixture",
        "A fixture that is not in the file",
        """\
fixture ann = subject "ann" roles "viewer"

test "viewers read" {
  as anne
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        """\
fixture ann = subject "ann" roles "viewer"

test "viewers read" {
  as ann
  call "read_document" on resource "document" "d1"
  expect allow
}
""",
        "Fixtures are known in the file that declares them, so that a test file can be read by itself (L80).",
    ),
    Code(
        "unknown-function",
        "A function that does not exist",
        """\
tool "read_*" { allow when lowercase(subject.id) == "ann" }
""",
        """\
tool "read_*" { allow when lower(subject.id) == "ann" }
""",
        "The functions are `time`, `ip`, `cidr`, `hour`, `weekday`, `size`, `lower`, `starts_with`, `ends_with` and "
        "`contains` (L38).",
    ),
    Code(
        "unknown-group",
        "A tool group that is not declared",
        """\
tools reading = "read_*", "list_*"

tool @raeding { allow anyone }
""",
        """\
tools reading = "read_*", "list_*"

tool @reading { allow anyone }
""",
        "A block for a group that does not exist would apply to no tool (L16).",
    ),
    Code(
        "unknown-name",
        "A name that is not declared",
        """\
let office_hours = weekday(now, "Europe/Berlin") in 1..5

tool "read_*" { allow when ofice_hours }
""",
        """\
let office_hours = weekday(now, "Europe/Berlin") in 1..5

tool "read_*" { allow when office_hours }
""",
        "A bare word is a part of the request (L30) or a `let`; text stands in double quotes (L4). A `let` of a tenant "
        "block is known in that block only.",
    ),
    Code(
        "unknown-reason",
        "A reason that no decision has",
        """\
test "others do not read" {
  as subject "bob"
  call "read_document" on resource "document" "d1"
  expect deny NO_ALLOWS
}
""",
        """\
test "others do not read" {
  as subject "bob"
  call "read_document" on resource "document" "d1"
  expect deny NO_ALLOW
}
""",
        "The reasons are those of L61; a test that expects another one could never pass.",
    ),
    Code(
        "unknown-role",
        "A role that is extended and not declared",
        """\
role "viewer"
role "editor" extends "veiwer"
""",
        """\
role "viewer"
role "editor" extends "viewer"
""",
        "`extends` names declared roles only (L11): whoever holds the one would silently not hold the other.",
    ),
    Code(
        "unknown-rule",
        "A rule that the policy does not have",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer"
  call "read_document" on resource "document" "d1"
  expect allow by "documents:veiwer"
}
""",
        """\
test "viewers read" {
  as subject "ann" with roles "viewer"
  call "read_document" on resource "document" "d1"
  expect allow by "documents:viewer"
}
""",
        "A rule is named by its file and label, or its file and line (L23); no decision could name another one.",
    ),
    Code(
        "unknown-type",
        "A type that does not exist",
        """\
resource "document" { owner: str }
""",
        """\
resource "document" { owner: string }
""",
        "The types are `string`, `number`, `bool`, `time`, `duration`, `ip`, `set<…>`, `map<…>`, `ref<…>`, records and "
        "unions of strings (L12). `ref` names a declared resource type, or `subject`.",
    ),
    Code(
        "unknown-zone",
        "A time zone that does not exist",
        """\
tool "read_*" { allow when hour(now, "Berlin") in 8..17 }
""",
        """\
tool "read_*" { allow when hour(now, "Europe/Berlin") in 8..17 }
""",
        "Zones have the names of the IANA database, so that daylight saving time is known (L38).",
    ),
    Code(
        "unmatched-tool-pattern",
        "A pattern that matches no tool of the server",
        """\
tool "raed_file" (path: string) {
  allow anyone when args.path under "/srv"
}
""",
        """\
tool "read_file" (path: string) {
  allow anyone when args.path under "/srv"
}
""",
        "An allow for a tool that does not exist allows nothing; a deny for it denies nothing, and that shows too "
        "late. Patterns that match MCP methods, such as `resources/read`, are no tools and are left alone. Found with "
        "`lint --tools`.",
    ),
    Code(
        "unreached-tool",
        "A tool that nobody may call",
        """\
tool "read_file" {
  allow anyone
}
""",
        """\
role "cleaner"

tool "read_file", "list_directory" {
  allow anyone
}

tool "delete_file" {
  require role "cleaner"
  allow anyone
}
""",
        "No block is about the tool, or none of them has an allow, so every call is denied. Where that is meant, a "
        "block that denies it to everyone, without a condition, says so. The place is where the catalogue names the "
        "tool. Found with `lint --tools`.",
    ),
    Code(
        "unterminated-string",
        "A string without its closing quote",
        """\
tool "read_*" {
  deny because "ask the owner
}
""",
        """\
tool "read_*" {
  deny because "ask the owner"
}
""",
        'A string ends on the line it starts on (L4). A newline inside one is written `\\n`, a quote `\\"`.',
    ),
    Code(
        "wrong-arguments",
        "A function with too many or too few arguments",
        """\
tool "read_*" { allow when hour(now) in 8..17 }
""",
        """\
tool "read_*" { allow when hour(now, "Europe/Berlin") in 8..17 }
""",
        "Nothing is assumed for an argument that is left out: an hour without a zone means another one in every place "
        "(L38).",
    ),
    Code(
        "wrong-clause-value",
        "A clause of a test with the wrong kind of value",
        """\
test "viewers read" {
  as subject "ann" with tenant "acme", "globex"
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        """\
test "viewers read" {
  as subject "ann" with tenant "acme"
  call "read_document" on resource "document" "d1"
  expect deny
}
""",
        "Each clause takes strings, braces, or both (L80). A request has one tenant, a list of scopes, an object as "
        "its context.",
    ),
    Code(
        "wrong-fixture-kind",
        "A subject where a resource belongs, or the reverse",
        """\
fixture ann = subject "ann" roles "viewer"
fixture plan = resource "document" "d1"

test "viewers read" {
  as plan
  call "read_document" on plan
  expect allow
}
""",
        """\
fixture ann = subject "ann" roles "viewer"
fixture plan = resource "document" "d1"

test "viewers read" {
  as ann
  call "read_document" on plan
  expect allow
}
""",
        "After `as` stands who calls, after `on` what is called upon (L80).",
    ),
)

CODES: Final[dict[str, Code]] = {entry.code: entry for entry in _ALL}
"""Every code, sorted."""
