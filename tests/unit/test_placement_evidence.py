"""Where callers come from: GeoIP's files, proxies' headers, networks, and what evidence is made of them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from antiphon.cluster import RoundTrip
from antiphon.config import load_config
from antiphon.errors import ConfigError
from antiphon.placement import (
    Evidence,
    Locator,
    Origin,
    Place,
    caller_address,
    forwarded_for,
    networks_of,
    origin_of,
    policies_named,
    rank_edges,
)
from antiphon.placement import gather as gather_from
from tests.support.members import edge

if TYPE_CHECKING:
    from pathlib import Path

FRANKFURT, VIRGINIA, TOKYO = Place(50.11, 8.68), Place(38.95, -77.45), Place(35.68, 139.69)
EDGES = (
    edge("edge-frankfurt", region="frankfurt", latitude=50.11, longitude=8.68),
    edge("edge-virginia", region="virginia", latitude=38.95, longitude=-77.45),
)


def gather(address: str, asked: str | None, edges: tuple[object, ...], locator: Locator) -> Evidence:
    return gather_from(Origin(address), edges, locator, asked=asked)  # type: ignore[arg-type]


def write_city(path: Path, *networks: tuple[str, str, str, Place]) -> None:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="GeoLite2-City", languages=["en"])
    for network, city, country, place in networks:
        writer.insert_network(
            IPSet([network]),
            {
                "city": {"names": {"en": city}},
                "country": {"iso_code": country},
                "location": {"latitude": place.latitude, "longitude": place.longitude},
            },
        )
    writer.to_db_file(str(path))


@pytest.fixture
def city_database(tmp_path: Path) -> Path:
    path = tmp_path / "city.mmdb"
    write_city(path, ("198.51.100.0/24", "Ashburn", "US", VIRGINIA), ("2001:db8::/32", "Tokyo", "JP", TOKYO))
    return path


def test_geoip_finds_callers(city_database: Path) -> None:
    with Locator(city_database) as locator:
        found = locator.find("198.51.100.7")
        assert found is not None
        assert found[0].longitude == pytest.approx(-77.45)
        assert found[1] == "Ashburn, US"
        assert gather("198.51.100.7", None, EDGES, locator).how == "GeoIP says Ashburn, US"
        assert gather("2001:db8::1", None, EDGES, locator).how == "GeoIP says Tokyo, JP"
        assert gather("198.51.100.7", None, EDGES, locator).place == VIRGINIA


def test_a_region_asked_for_is_a_wish_and_geoip_still_the_evidence(city_database: Path) -> None:
    with Locator(city_database) as locator:
        evidence = gather("198.51.100.7", "frankfurt", EDGES, locator)
    assert (evidence.asked, evidence.place) == ("frankfurt", VIRGINIA)
    assert evidence.how == "region frankfurt asked for; GeoIP says Ashburn, US"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "203.0.113.9", "testclient", ""])
def test_unknown_places_fall_back_to_the_region_asked_for_and_else_to_the_first(
    address: str, city_database: Path
) -> None:
    with Locator(city_database) as locator:
        assert gather(address, "virginia", EDGES, locator).how == "region virginia asked for"
        assert gather(address, None, EDGES, locator).place == FRANKFURT
        unknown = gather(address, "mars", EDGES, locator)
        assert unknown.place == FRANKFURT
        assert unknown.how.startswith("no edge in region mars, which was asked for; ")
        assert gather(address, None, (), locator).place is None


def test_an_unfit_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.mmdb"
    path.write_text("no database")
    with pytest.raises(ConfigError, match=r"signaling\.geoip\.city_database"):
        Locator(path)
    with pytest.raises(ConfigError, match=r"signaling\.geoip\.city_database"):
        Locator(tmp_path / "absent.mmdb")
    writer = MMDBWriter(database_type="GeoLite2-ASN")
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"autonomous_system_number": 64496})
    writer.to_db_file(str(path))
    with pytest.raises(ConfigError, match="not a City file"):
        Locator(path)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("198.51.100.7", "", (), "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", (), "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", ("10.0.0.0/8",), "198.51.100.7"),
        ("10.0.0.1", "203.0.113.1", ("10.0.0.0/8",), "203.0.113.1"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.1", ("10.0.0.0/8",), "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1, 10.0.0.2", ("10.0.0.0/8",), "203.0.113.1"),
        ("10.0.0.1", "nonsense", ("10.0.0.0/8",), "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::5", ("10.0.0.0/8",), "2001:db8::5"),
        ("testclient", "203.0.113.1", ("10.0.0.0/8",), "testclient"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: str, trusted: tuple[str, ...], address: str) -> None:
    assert caller_address(peer, forwarded, trusted) == address


@given(st.text(max_size=200))
def test_no_header_breaks_the_address(forwarded: str) -> None:
    assert caller_address("10.0.0.1", forwarded, ("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        ("for=203.0.113.1", "203.0.113.1"),
        ('For="[2001:db8::5]:4711"', "2001:db8::5"),
        ('for=192.0.2.66, for="203.0.113.1:80";proto=https;by=10.0.0.2', "192.0.2.66,203.0.113.1"),
        ("for=192.0.2.66, for=_hidden", "192.0.2.66,_hidden"),
        ("for=192.0.2.66, proto=https", "192.0.2.66,unknown"),
        ('for="a,b", for=203.0.113.1', "a,b,203.0.113.1"),
        ("", "unknown"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(header: str, hops: str) -> None:
    assert forwarded_for(header) == hops


@given(st.text(max_size=300))
def test_no_forwarded_header_breaks_the_address(header: str) -> None:
    caller_address("10.0.0.1", forwarded_for(header), ("0.0.0.0/0", "::/0"))


GEOIP = {"trusted_proxies": ["10.0.0.0/8"], "location_headers": "cloudflare"}
PLACED = {"cf-iplatitude": "38.95", "cf-iplongitude": "-77.45"}


@pytest.mark.parametrize(
    ("peer", "headers", "config", "found"),
    [
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.1", **PLACED}, GEOIP, ("203.0.113.1", VIRGINIA)),
        ("203.0.113.9", {"x-forwarded-for": "203.0.113.1", **PLACED}, GEOIP, ("203.0.113.9", None)),
        ("10.0.0.1", {"forwarded": "for=192.0.2.66", "x-forwarded-for": "203.0.113.1"}, GEOIP, ("203.0.113.1", None)),
        (
            "10.0.0.1",
            {"forwarded": "for=203.0.113.1", "x-forwarded-for": "192.0.2.66"},
            {**GEOIP, "forwarded_header": "forwarded"},
            ("203.0.113.1", None),
        ),
        (
            "10.0.0.1",
            {"x-forwarded-for": "203.0.113.1", **PLACED},
            {"trusted_proxies": ["10.0.0.0/8"]},
            ("203.0.113.1", None),
        ),
        (
            "10.0.0.1",
            {"cloudfront-viewer-latitude": "1", "cloudfront-viewer-longitude": "2"},
            GEOIP,
            ("10.0.0.1", None),
        ),
        ("10.0.0.1", {"cf-iplatitude": "91", "cf-iplongitude": "0"}, GEOIP, ("10.0.0.1", None)),
        ("10.0.0.1", {"cf-iplatitude": "nan", "cf-iplongitude": "0"}, GEOIP, ("10.0.0.1", None)),
        ("10.0.0.1", {"cf-iplatitude": "1,2", "cf-iplongitude": "0"}, GEOIP, ("10.0.0.1", None)),
        (
            "10.0.0.1",
            {"x-appengine-citylatlong": "38.95,-77.45"},
            {**GEOIP, "location_headers": "appengine"},
            ("10.0.0.1", VIRGINIA),
        ),
    ],
)
def test_headers_count_from_trusted_proxies_and_only_those_that_are_configured(
    peer: str, headers: dict[str, str], config: dict[str, object], found: tuple[str, Place | None]
) -> None:
    geoip = load_config(signaling={"geoip": config}).signaling.geoip
    origin = origin_of(peer, headers, geoip)
    assert (origin.address, origin.place) == found


def test_a_cdn_s_word_counts_more_than_the_file(city_database: Path) -> None:
    with Locator(city_database) as locator:
        evidence = gather_from(Origin("198.51.100.7", TOKYO, "cloudflare"), EDGES, locator)
    assert (evidence.place, evidence.how) == (TOKYO, "cloudflare says 35.7, 139.7")


def test_evidence_keeps_what_is_about_regions_that_are_there() -> None:
    learned = {"virginia": RoundTrip(90.0, 2.0, "AS64496"), "mars": RoundTrip(1.0, 2.0, "AS64496")}
    evidence = gather_from(Origin(""), EDGES, Locator(), measured={"frankfurt": 9.0, "venus": 1.0}, learned=learned)
    assert (dict(evidence.measured), set(evidence.learned)) == ({"frankfurt": 9.0}, {"virginia"})
    assert evidence.how == (
        "round trip to frankfurt measured by the caller; round trip to virginia learned from calls of AS64496; "
        "taken to be near frankfurt"
    )


def test_a_caller_without_a_place_is_taken_to_be_where_its_shortest_round_trip_leads(city_database: Path) -> None:
    learned = {"virginia": RoundTrip(9.0, 2.0, "AS64496")}
    evidence = gather_from(Origin(""), EDGES, Locator(), learned=learned, asked="frankfurt")
    assert evidence.place == VIRGINIA
    ranking = rank_edges(policies_named("caller_rtt"), evidence, EDGES, Random(1))
    assert ranking.possible == ["edge-virginia", "edge-frankfurt"], "a region of which nothing is known is not near"
    with Locator(city_database) as locator:
        assert gather_from(Origin("2001:db8::1"), EDGES, locator, learned=learned).place == TOKYO


@pytest.mark.parametrize(
    ("address", "asn", "networks"),
    [
        ("81.2.69.160", None, ("81.2.69.0/24",)),
        ("81.2.69.160", 20712, ("81.2.69.0/24", "AS20712")),
        ("::ffff:81.2.69.160", None, ("81.2.69.0/24",)),
        ("2a02:1234:5678:9abc::1", 1, ("2a02:1234:5678::/48", "AS1")),
        ("10.0.0.1", 1, ()),
        ("127.0.0.1", 1, ()),
        ("::1", 1, ()),
        ("224.0.0.1", 1, ()),
        ("testclient", 1, ()),
        ("", None, ()),
    ],
)
def test_networks_are_of_addresses_that_are_one_caller_s_alone(
    address: str, asn: int | None, networks: tuple[str, ...]
) -> None:
    assert networks_of(address, asn) == networks


def write_asn(path: Path, number: int) -> None:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="GeoLite2-ASN")
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"autonomous_system_number": number})
    writer.to_db_file(str(path))


async def test_databases_are_read_anew_when_they_change(city_database: Path, tmp_path: Path) -> None:
    asn = tmp_path / "asn.mmdb"
    write_asn(asn, 64496)
    with Locator(city_database, asn) as locator:
        assert locator.asn("198.51.100.7") == 64496
        assert locator.asn("127.0.0.1") is None
        await locator.reload()
        fresh = tmp_path / "fresh.mmdb"
        write_city(fresh, ("198.51.100.0/24", "Osaka", "JP", TOKYO))
        fresh.replace(city_database)
        write_asn(asn, 64511)
        await locator.reload()
        assert locator.find("198.51.100.7") == (TOKYO, "Osaka, JP")
        assert locator.asn("198.51.100.7") == 64511


async def test_a_changed_file_that_cannot_be_used_changes_nothing(city_database: Path) -> None:
    with Locator(city_database) as locator:
        city_database.write_text("half a download")  # noqa: ASYNC240
        await locator.reload()
        assert locator.find("198.51.100.7") == (VIRGINIA, "Ashburn, US")
        city_database.unlink()  # noqa: ASYNC240
        await locator.reload()
        assert locator.find("198.51.100.7") == (VIRGINIA, "Ashburn, US")
