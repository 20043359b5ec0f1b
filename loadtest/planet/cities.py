"""Where people are: big urban areas with their place in degrees and inhabitants in millions, rounded.

Compiled for this simulation from general knowledge of public figures; the table is in the public domain (CC0).
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
tokyo 35.7 139.7 37.2 | delhi 28.6 77.2 32.1 | shanghai 31.2 121.5 28.5 | dhaka 23.8 90.4 22.5
saopaulo -23.6 -46.6 22.4 | mexico 19.4 -99.1 22.1 | cairo 30.0 31.2 21.8 | beijing 39.9 116.4 21.3
mumbai 19.1 72.9 21.0 | osaka 34.7 135.5 19.1 | chongqing 29.6 106.5 16.9 | karachi 24.9 67.0 16.8
kinshasa -4.3 15.3 15.6 | lagos 6.5 3.4 15.4 | istanbul 41.0 29.0 15.6 | kolkata 22.6 88.4 15.1
buenosaires -34.6 -58.4 15.4 | manila 14.6 121.0 14.4 | guangzhou 23.1 113.3 14.0 | tianjin 39.1 117.2 14.0
lahore 31.5 74.3 13.5 | rio -22.9 -43.2 13.6 | bangalore 13.0 77.6 13.2 | shenzhen 22.5 114.1 12.8
moscow 55.8 37.6 12.6 | chennai 13.1 80.3 11.5 | bogota 4.7 -74.1 11.3 | jakarta -6.2 106.8 33.4
paris 48.9 2.4 11.1 | lima -12.0 -77.0 11.0 | bangkok 13.8 100.5 10.9 | hyderabad 17.4 78.5 10.5
seoul 37.6 127.0 25.5 | nagoya 35.2 136.9 9.6 | london 51.5 -0.1 9.5 | chengdu 30.7 104.1 9.5
nanjing 32.1 118.8 9.4 | tehran 35.7 51.4 9.4 | hochiminh 10.8 106.7 9.1 | luanda -8.8 13.2 9.0
wuhan 30.6 114.3 8.6 | xian 34.3 108.9 8.5 | ahmedabad 23.0 72.6 8.5 | kualalumpur 3.1 101.7 8.4
newyork 40.7 -74.0 18.9 | losangeles 34.1 -118.2 12.5 | chicago 41.9 -87.6 8.9 | houston 29.8 -95.4 6.7
dallas 32.8 -96.8 6.6 | miami 25.8 -80.2 6.2 | philadelphia 40.0 -75.2 5.8 | atlanta 33.7 -84.4 6.0
washington 38.9 -77.0 5.5 | boston 42.4 -71.1 4.3 | phoenix 33.4 -112.1 4.7 | sanfrancisco 37.8 -122.4 4.6
detroit 42.3 -83.0 3.5 | seattle 47.6 -122.3 3.5 | minneapolis 45.0 -93.3 3.0 | sandiego 32.7 -117.2 3.3
denver 39.7 -105.0 2.9 | tampa 28.0 -82.5 2.9 | stlouis 38.6 -90.2 2.2 | charlotte 35.2 -80.8 2.4
portland 45.5 -122.7 2.2 | sanantonio 29.4 -98.5 2.4 | austin 30.3 -97.7 2.2 | lasvegas 36.2 -115.1 2.8
kansascity 39.1 -94.6 1.7 | toronto 43.7 -79.4 6.3 | montreal 45.5 -73.6 4.3 | vancouver 49.3 -123.1 2.6
calgary 51.0 -114.1 1.6 | edmonton 53.5 -113.5 1.5 | guadalajara 20.7 -103.3 5.4 | monterrey 25.7 -100.3 5.1
puebla 19.0 -98.2 3.3 | tijuana 32.5 -117.0 2.2 | guatemala 14.6 -90.5 3.0 | havana 23.1 -82.4 2.1
santodomingo 18.5 -69.9 3.5 | portauprince 18.5 -72.3 2.9 | sanjose 9.9 -84.1 1.4 | panama 9.0 -79.5 2.0
medellin 6.2 -75.6 4.1 | cali 3.4 -76.5 2.8 | caracas 10.5 -66.9 3.0 | quito -0.2 -78.5 2.0
guayaquil -2.2 -79.9 3.1 | santiago -33.4 -70.7 6.9 | cordoba -31.4 -64.2 1.6 | montevideo -34.9 -56.2 1.8
asuncion -25.3 -57.6 3.5 | lapaz -16.5 -68.1 1.9 | santacruz -17.8 -63.2 1.8 | belohorizonte -19.9 -43.9 6.2
brasilia -15.8 -47.9 4.9 | recife -8.1 -34.9 4.3 | portoalegre -30.0 -51.2 4.2 | fortaleza -3.7 -38.5 4.2
salvador -13.0 -38.5 4.0 | curitiba -25.4 -49.3 3.8 | goiania -16.7 -49.3 2.8 | manaus -3.1 -60.0 2.3
madrid 40.4 -3.7 6.8 | barcelona 41.4 2.2 5.7 | lisbon 38.7 -9.1 3.0 | milan 45.5 9.2 3.2 | rome 41.9 12.5 4.3
naples 40.9 14.3 2.2 | berlin 52.5 13.4 3.6 | hamburg 53.6 10.0 1.8 | munich 48.1 11.6 1.6 | cologne 50.9 7.0 1.1
frankfurt 50.1 8.7 2.3 | vienna 48.2 16.4 2.0 | amsterdam 52.4 4.9 1.2 | rotterdam 51.9 4.5 1.0
brussels 50.9 4.4 2.1 | zurich 47.4 8.5 1.4 | lyon 45.8 4.8 1.8 | marseille 43.3 5.4 1.6 | birmingham 52.5 -1.9 2.6
manchester 53.5 -2.2 2.8 | glasgow 55.9 -4.3 1.7 | dublin 53.3 -6.3 1.3 | stockholm 59.3 18.1 1.7
copenhagen 55.7 12.6 1.4 | oslo 59.9 10.8 1.1 | helsinki 60.2 24.9 1.3 | warsaw 52.2 21.0 1.8 | prague 50.1 14.4 1.3
budapest 47.5 19.0 1.8 | bucharest 44.4 26.1 1.8 | sofia 42.7 23.3 1.3 | belgrade 44.8 20.5 1.4
athens 38.0 23.7 3.2 | kyiv 50.5 30.5 3.0 | minsk 53.9 27.6 2.0 | stpetersburg 59.9 30.3 5.5
novosibirsk 55.0 82.9 1.7 | yekaterinburg 56.8 60.6 1.5 | kazan 55.8 49.1 1.3 | almaty 43.2 76.9 2.0
tashkent 41.3 69.2 2.6 | baku 40.4 49.9 2.4 | tbilisi 41.7 44.8 1.1 | ankara 39.9 32.9 5.3 | izmir 38.4 27.1 3.1
telaviv 32.1 34.8 4.3 | amman 32.0 35.9 2.2 | beirut 33.9 35.5 2.4 | damascus 33.5 36.3 2.5 | baghdad 33.3 44.4 7.5
kuwait 29.4 48.0 3.2 | riyadh 24.7 46.7 7.5 | jeddah 21.5 39.2 4.8 | dubai 25.2 55.3 3.0 | doha 25.3 51.5 0.7
muscat 23.6 58.4 1.6 | sanaa 15.4 44.2 3.2 | mashhad 36.3 59.6 3.3 | kabul 34.5 69.2 4.5 | islamabad 33.7 73.1 4.0
faisalabad 31.4 73.1 3.6 | pune 18.5 73.9 7.0 | surat 21.2 72.8 7.8 | jaipur 26.9 75.8 4.2 | lucknow 26.8 80.9 3.9
kanpur 26.4 80.3 3.2 | nagpur 21.1 79.1 3.0 | kochi 10.0 76.3 3.3 | patna 25.6 85.1 2.6 | indore 22.7 75.9 3.2
kathmandu 27.7 85.3 1.5 | colombo 6.9 79.9 0.6 | chittagong 22.4 91.8 5.3 | yangon 16.8 96.2 5.6
hanoi 21.0 105.8 5.1 | phnompenh 11.6 104.9 2.2 | singapore 1.4 103.8 6.0 | surabaya -7.3 112.7 3.0
bandung -6.9 107.6 2.7 | medan 3.6 98.7 2.4 | cebu 10.3 123.9 1.0 | davao 7.1 125.6 1.9 | hongkong 22.3 114.2 7.6
taipei 25.0 121.5 2.7 | kaohsiung 22.6 120.3 1.5 | hangzhou 30.3 120.2 7.9 | suzhou 31.3 120.6 7.6
dongguan 23.0 113.7 7.6 | foshan 23.0 113.1 7.4 | shenyang 41.8 123.4 7.5 | qingdao 36.1 120.4 6.0
harbin 45.8 126.6 6.8 | dalian 38.9 121.6 6.0 | jinan 36.7 117.0 5.7 | zhengzhou 34.7 113.7 5.7
changsha 28.2 112.9 4.8 | kunming 25.0 102.7 4.6 | urumqi 43.8 87.6 4.7 | fukuoka 33.6 130.4 5.5
sapporo 43.1 141.4 2.7 | busan 35.2 129.1 3.5 | ulaanbaatar 47.9 106.9 1.7 | sydney -33.9 151.2 5.1
melbourne -37.8 145.0 5.2 | brisbane -27.5 153.0 2.5 | perth -31.9 115.9 2.1 | adelaide -34.9 138.6 1.4
auckland -36.8 174.8 1.7 | alexandria 31.2 29.9 5.6 | casablanca 33.6 -7.6 3.8 | algiers 36.8 3.1 2.9
tunis 36.8 10.2 2.5 | tripoli 32.9 13.2 1.2 | khartoum 15.5 32.6 6.3 | addisababa 9.0 38.7 5.5
nairobi -1.3 36.8 5.3 | kampala 0.3 32.6 3.8 | daressalaam -6.8 39.3 7.8 | mombasa -4.0 39.7 1.4
kigali -1.9 30.1 1.3 | lusaka -15.4 28.3 3.2 | harare -17.8 31.0 1.6 | maputo -26.0 32.6 1.2
johannesburg -26.2 28.0 10.1 | capetown -33.9 18.4 4.9 | durban -29.9 31.0 3.2 | antananarivo -18.9 47.5 3.9
kano 12.0 8.5 4.3 | ibadan 7.4 3.9 3.9 | abuja 9.1 7.5 3.8 | portharcourt 4.8 7.0 3.5 | accra 5.6 -0.2 2.7
kumasi 6.7 -1.6 3.8 | abidjan 5.3 -4.0 5.7 | dakar 14.7 -17.4 3.4 | bamako 12.6 -8.0 2.9 | ouagadougou 12.4 -1.5 3.2
conakry 9.6 -13.6 2.1 | douala 4.1 9.7 4.1 | yaounde 3.9 11.5 4.5 | brazzaville -4.3 15.2 2.6
lubumbashi -11.7 27.5 2.8 | mogadishu 2.0 45.3 2.6 | honolulu 21.3 -157.9 1.0 | reykjavik 64.1 -21.9 0.2
"""


@dataclass(frozen=True)
class City:
    """An urban area."""

    name: str
    latitude: float
    longitude: float
    millions: float


def _parse(entry: str) -> City:
    name, latitude, longitude, millions = entry.split()
    return City(name, float(latitude), float(longitude), float(millions))


CITIES = tuple(_parse(entry) for line in _TABLE.strip().splitlines() for entry in line.split("|"))
