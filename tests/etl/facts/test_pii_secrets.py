"""Passwords and keys beside their names, in the grammars of many languages; and what is none.

All values are made up; none is anybody's.
"""

from __future__ import annotations

import random
import string
import time

import pyarrow as pa
import pytest

from etl.facts.pii import scan

WORD = "vq7Gx" + "2pLt9"
KEY = "9f8Kd72hQ" + "xP0s8Wz4Rt6"


def values(text: str) -> list[tuple[str, str]]:
    [row] = scan(pa.array([text])).to_pylist()
    raw = text.encode()
    return [(s["kind"], raw[s["start"] : s["end"]].decode()) for s in row["spans"]]


ASSIGNMENTS = [
    'password = "{}"', "password='{}'", 'db_password: "{}",', '"password": "{}"', "'pwd' => '{}',",
    'String password = "{}";', 'password: str = "{}"', 'const char *passwd = "{}";', 'PASSWORD={}\n',
    "export DB_PASSWORD={}\n", "  password: {}\n", "password = {}\n", "db.password={}\n",
    'login(user, password="{}")', 'setPassword("{}")', 'config.put("password", "{}");',
    "--password={} --host x", "mysql --password '{}'", "<password>{}</password>",
    '<add key="DbPassword" value="{}"/>', "Server=db;User Id=sa;Password={};Timeout=3",
    "postgres://bob:{}@db.acme.io:5432/app", 'redis://:{}@cache.acme.io', "CREATE USER u IDENTIFIED WITH PASSWORD '{}'",
    '\\"password\\": \\"{}\\"', "- PASSWORD={}\n", 'if (password == "{}") {{', "ENV ROOT_PASSWORD={}\n",
    "curl -u bob:{} https://x.acme.io", '"adminPass": "{}"', 'é日 passphrase := "{}"',
]  # fmt: skip


@pytest.mark.parametrize("form", ASSIGNMENTS)
def test_a_password_is_found_whole_in_any_grammar(form: str) -> None:
    found = values(form.format(WORD))
    assert [value for kind, value in found if kind == "password"] == [WORD]


KEYS = [
    'api_key = "{}"', '"apiKey": "{}",', "API_TOKEN={}\n", "  client_secret: {}\n", "secret: '{}'",
    "Authorization: Bearer {}\n", "https://x.acme.io/a?api_key={}&b=1", '<string name="api_key">{}</string>',
    "<key>ApiKey</key>\n  <string>{}</string>", 'os.environ["SECRET_TOKEN"] = "{}"', 'os.getenv("API_KEY", "{}")',
    "--token {}", '{{"name": "API_TOKEN", "value": "{}"}}', '{{\\"key\\": \\"API_TOKEN\\", \\"value\\": \\"{}\\"}}',
    '{{"kty": "oct", "k": "{}"}}', '{{"d": "{}",\n "crv": "Ed25519", "kty": "OKP"}}', 'val accessKey: String = "{}"',
]  # fmt: skip


@pytest.mark.parametrize("form", KEYS)
def test_a_key_is_found_whole_in_any_grammar(form: str) -> None:
    assert ("key", KEY) in values(form.format(KEY))


def test_a_uuid_is_a_key_only_where_its_name_says_so() -> None:
    uuid = "3b1f7a52-91c4-4e0d-8a6b-2f9d" + "07c5e418"
    assert values(f'api_token = "{uuid}"') == [("key", uuid)]
    for name in ("request_id", "key", "id", "uuid", "session"):
        assert values(f'{name} = "{uuid}"') == []


NONE = [
    '"password": "Пароль",', '"password": "Contraseña"', '"password": "Has\\u0142o",',
    "STATUS_CREDENTIALS = 0X16C9A0E2\n",
    'password = "${DB_PASSWORD}"', 'password = "{{ vault_password }}"', 'password = "<your-password>"',
    'password = "changeme"', 'password = "xxxxxxxx"', 'password = "********"', 'password = "example123"',
    'password = "password"', 'password = os.environ["PASSWORD"]', "password = getpass.getpass()",
    "password: string\n", "password: Optional[str] = None\n", "password=password,", "password = user.password\n",
    'passwordLabel = "Vq7Gx2pLt9"', 'password_field = "vq7Gx2pLt9"', 'token_type = "vq7Gx2pLt9"',
    'password = "Enter your password"', 'password.encode("latin1")', '["pw_name", "passwd", "vq7Gx2pLt9"]',
    'password_hash = "5f4dcc3b5aa765d61d8327deb882cf99"',
    'sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    '"integrity": "sha512-9f8Kd72hQxP0s8Wz4Rt6lmN0pQ=="', 'public_key = "9f8Kd72hQxP0s8Wz4Rt6"',
    'api_key = "your_api_key_here"', 'api_key = "get_from_settings"', 'token = "IDENTIFIER"', "token: 12345\n",
    'secret_name = "prod/db/main"', 'd="M9.5 3v7.8l3.2-1.1z key=M12 4h5"',
    'src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA"',
    "http://user:password@host/", "http://user:${PASS}@host/", "http://localhost:8080@x",
    'key = "us-east-1-production-2024"',
    'license_key = "nvidia-sdk-eula-2019.1"', "Pass `verbosity=1` to get more", 'keyboard = "9f8Kd72hQxP0s8Wz4Rt6"',
    'FUNCTION_PASS("print<vq7gx>", Printer())', 'cmd.pass_stdin("I=42x9")', 'run_pass_json("n_500_arrays.xz")',
    '"early_pass.stderr": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    'filter(password__startswith="sha9$Vq7")', '"password": "md5$seasalt$1e9bf2bf5606aa5c39852cc30f0f6f22"',
    '"password": "pbkdf2_sha256$10000$LUyhxJjuLwXF$f6Zbpnx1L5"', 'INVALID_PASSWORD = "28Q01"',
    'OPTIONS_PASS_V3 = "nfsvers=3"', 'set_password("vq7Gx2pLt9", "password")', 'db = "x://nova:NOVA_DBPASS@controller/n"',
    'password = "RABBIT_PASS"', 'secret_uuid = "3306a5c4-8378-4b3c-aa1f-7b48d3a26172"',
    '"sec-websocket-key": "6D69KGBOr4Re+Nj6zx9aQA=="', "ftp://anonymous:vq7Gx2pLt9@host/",
    '"author": "9f8Kd72hQxP0s8Wz4Rt6"', 'password = "2021-01-02T03:04:05"', 'tokenizer = "9f8Kd72hQxP0s8Wz4Rt6"',
    "nonce: 'a51ccf08f4bbb06e88715ddc4bbb41d8',", 'iv = "a51ccf08f4bbb06e88715ddc4bbb41d8"',
    '{"d": "9f8Kd72hQxP0s8Wz4Rt6lm"}', '{"name": "color", "value": "9f8Kd72hQxP0s8Wz4Rt6"}',
    'aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', 'secret_key_path = "/etc/keys/vq7Gx2.pem"',
]  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_secret_is_none(text: str) -> None:
    assert [span for span in values(text) if span[0] in ("key", "password")] == []


def test_of_overlapping_finds_the_surer_one_is_left() -> None:
    rng = random.Random(1)
    token = (
        "ghp" + "_" + "".join(rng.choice(string.ascii_letters + "0123456789") for _ in range(36))
    )
    assert values(f'token = "{token}"') == [("key", token)]
    assert values(f'secret = "prefix:{token}"') == [("key", token)]
    assert values(f"https://bob:{token}@acme.io/x") in (
        [("key", token)], [("username", "bob"), ("key", token)],
    )  # fmt: skip


BAITS = {
    "at signs": "a@" * 500_000,
    "one long line": "x=1;" * 250_000,
    "long address": "a" * 500_000 + "@" + "b." * 250_000,
    "headers without footers": "-----BEGIN PRIVATE KEY-----\n" * 35_000,
    "starts of tokens": "eyJhbGciOi" * 100_000,
    "dotted tokens": ".eyJhbGciOiJI" * 75_000,
    "digits": "1.1.1.1." * 125_000,
    "colons": "2a00:1450:" * 100_000,
    "assignments": 'password="aB3$xyz' * 60_000,
    "quotes": "password='" * 100_000,
    "prefixes": "sk-ant-api03-" * 75_000,
    "urls": "a://b:c" * 140_000 + "@d",
    "copyright": "Copyright (c) " * 70_000,
    "links": "Jane Doe](https://github.com/a" * 30_000,
    "logins in a list": "Authors:\n- Jane Doerfel\n" + "- a\n" * 250_000,
    "pairs": '"name": "password", "value": "' * 33_000,
    "web keys": '"d":"AyM1SysPpbyDfgZld3um1qzKO" ' * 30_000,
    "names": "Author: Jane " + "van " * 250_000,
    "broken UTF-8, mended": "\ufffd@\ufffd.io password='\ufffd" * 40_000,
}


@pytest.mark.parametrize("name", BAITS)
def test_a_megabyte_of_bait_is_scanned_in_bounded_time(name: str) -> None:
    scan(pa.array(["warm up jane@acme.io"]))
    text = BAITS[name]
    start = time.process_time()
    [row] = scan(pa.array([text])).to_pylist()
    assert time.process_time() - start < 8  # seconds a megabyte, on a loaded machine
    raw = text.encode()
    for span in row["spans"]:
        raw[span["start"] : span["end"]].decode()  # no span cuts a character


def test_a_line_of_a_hundred_megabytes_is_scanned() -> None:
    line = (
        "var a=[" + "1.25,'abcdef',function(){return 0}," * 2_800_000 + '],password="' + WORD + '";'
    )
    assert len(line) > 95_000_000
    assert values(line) == [("password", WORD)]
