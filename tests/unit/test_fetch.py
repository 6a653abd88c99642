"""Where packages come from is derived from the host's own sources, whatever their format; we name no host."""

from __future__ import annotations

from pathlib import Path

from lab.aptsources import Source, for_suite, of_release, parse_deb822, parse_one_line
from lab.fetch import _relative_links, host_sources

MIRROR = "http://mirror.test/debian"
SECURITY = "http://mirror.test/security"
KEYS = "/usr/share/keyrings/archive.gpg"

DEB822 = f"""Types: deb deb-src
# http://mirror.test/old
URIs: {MIRROR}
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: {KEYS}

Enabled: no
Types: deb
URIs: http://mirror.test/off
Suites: bookworm
Components: main

Types: deb-src
URIs: http://mirror.test/sources-only
Suites: bookworm
Components: main

types: deb
uris: {SECURITY}
suites: bookworm-security
components: main
signed-by: {KEYS}
"""

ONE_LINE = f"""# deb http://mirror.test/comment bookworm main
deb [arch=amd64 signed-by={KEYS}] {MIRROR} bookworm main contrib
deb-src {MIRROR} bookworm main
deb {SECURITY} bookworm-security main  # said behind it
"""

BOOKWORM = Source((MIRROR,), ("bookworm", "bookworm-updates"), ("main", "contrib"), KEYS)
BOOKWORM_SECURITY = Source((SECURITY,), ("bookworm-security",), ("main",), KEYS)
VENDOR = Source(("http://vendor.test/apt",), ("nodistro",), ("main",))


def test_deb822_stanzas_that_are_off_or_hold_no_binaries_are_passed_over():
    assert parse_deb822(DEB822) == (BOOKWORM, BOOKWORM_SECURITY)


def test_the_one_line_format_says_the_same():
    assert parse_one_line(ONE_LINE) == (
        Source((MIRROR,), ("bookworm",), ("main", "contrib"), KEYS),
        Source((SECURITY,), ("bookworm-security",), ("main",), None),
    )


def test_a_key_that_stands_in_the_source_itself_survives():
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----"
    text = f"Types: deb\nURIs: {MIRROR}\nSuites: bookworm\nComponents: main\nSigned-By: {key}\n"
    (source,) = parse_deb822(text)
    assert parse_deb822(source.render()) == (source,)
    assert source.signed_by is not None and "mQINBF" in source.signed_by


def test_another_suite_comes_from_the_mirror_of_the_release_with_its_keys():
    """The security mirror carries no unstable, and a vendor's source carries no Debian."""
    chosen = for_suite((VENDOR, BOOKWORM_SECURITY, BOOKWORM), "bookworm", "unstable")
    assert chosen == Source((MIRROR,), ("unstable",), ("main",), KEYS)


def test_a_host_that_follows_a_suite_by_its_general_name_has_a_source_too():
    stable = Source((MIRROR,), ("stable",), ("main",), KEYS)
    assert for_suite((VENDOR, stable), "bookworm", "unstable") == Source((MIRROR,), ("unstable",), ("main",), KEYS)


def test_no_source_of_the_release_is_no_source_at_all():
    assert for_suite((VENDOR,), "bookworm", "unstable") is None


def test_the_release_is_its_updates_and_security_but_no_vendor():
    assert of_release((VENDOR, BOOKWORM, BOOKWORM_SECURITY), "bookworm") == (BOOKWORM, BOOKWORM_SECURITY)


def test_sources_of_a_host_are_read_from_both_formats_and_disabled_files_are_not(tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(f"deb {SECURITY} bookworm-security main\n")
    (parts / "debian.sources").write_text(BOOKWORM.render())
    (parts / "vendor.sources.disabled").write_text(VENDOR.render())
    assert host_sources(tmp_path) == (Source((SECURITY,), ("bookworm-security",), ("main",)), BOOKWORM)


def test_links_to_places_of_an_installed_system_lead_into_the_unpacked_tree(tmp_path):
    """Java reads its security settings through a link into /etc."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/java.security").write_text("here")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/security").symlink_to("/etc/java.security")
    (tmp_path / "usr/lib/null").symlink_to("/dev/null")
    _relative_links(tmp_path)
    assert (tmp_path / "usr/lib/security").read_text() == "here"
    assert (tmp_path / "usr/lib/null").readlink() == Path("/dev/null")
