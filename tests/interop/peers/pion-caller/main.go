// Pion-caller plays an Ogg Opus file to an agent as RED, and records what comes back.
//
// It sends NACKs for what it misses and answers those of the edge; the interceptors are Pion's own, RED (RFC 2198) is
// made and taken apart here, since Pion has none. Its last line is JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

const (
	opusType = 111
	redType  = 63
	frame    = 960
	patience = 20 * time.Second
)

type options struct {
	url, token, agent, play, record string
	seconds                         float64
	red                             bool
}

// Told is what the caller says at its end.
type Told struct {
	Session        string            `json:"session"`
	Answer         string            `json:"answer"`
	Messages       []string          `json:"messages"`
	Sent           uint64            `json:"sent"`
	Received       uint64            `json:"received"`
	ReceivedAsRed  uint64            `json:"received_as_red"`
	Missing        int               `json:"missing"`
	NacksReceived  uint64            `json:"nacks_received"`
	ReportedLost   uint32            `json:"reported_lost"`
	Transport      map[string]string `json:"transport"`
	ConnectedAfter float64           `json:"connected_after_ms"`
}

func main() {
	var given options
	flag.StringVar(&given.url, "url", "http://127.0.0.1:8080", "where the API is")
	flag.StringVar(&given.token, "token", "", "key for it: id.secret")
	flag.StringVar(&given.agent, "agent", "echo", "who is called")
	flag.StringVar(&given.play, "play", "", "Ogg Opus file with frames of 20 ms")
	flag.StringVar(&given.record, "record", "", "Ogg Opus file that is written")
	flag.Float64Var(&given.seconds, "seconds", 10, "how long the call lasts once connected")
	flag.BoolVar(&given.red, "red", true, "send as RED")
	flag.Parse()
	told, err := call(given)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}

func newAPI(red bool) (*webrtc.API, error) {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}}
	codec := func(mime, fmtp string, number webrtc.PayloadType) webrtc.RTPCodecParameters {
		return webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: mime, ClockRate: 48000, Channels: 2, SDPFmtpLine: fmtp, RTCPFeedback: feedback,
			},
			PayloadType: number,
		}
	}
	codecs := []webrtc.RTPCodecParameters{codec(webrtc.MimeTypeOpus, "minptime=10;useinbandfec=1", opusType)}
	if red {
		codecs = append(codecs, codec("audio/red", fmt.Sprintf("%d/%d", opusType, opusType), redType))
	}
	media := &webrtc.MediaEngine{}
	for _, one := range codecs {
		if err := media.RegisterCodec(one, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	registry := &interceptor.Registry{}
	if err := webrtc.ConfigureRTCPReports(registry); err != nil {
		return nil, err
	}
	generator, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(20 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		return nil, err
	}
	registry.Add(generator)
	registry.Add(responder)
	settings := webrtc.SettingEngine{}
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings),
	), nil
}

func call(given options) (*Told, error) {
	api, err := newAPI(given.red)
	if err != nil {
		return nil, err
	}
	peer, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	defer peer.Close()
	mime, number := "audio/red", uint8(redType)
	if !given.red {
		mime, number = webrtc.MimeTypeOpus, opusType
	}
	track, err := webrtc.NewTrackLocalStaticRTP(
		webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 48000, Channels: 2}, "voice", "caller",
	)
	if err != nil {
		return nil, err
	}
	sender, err := peer.AddTrack(track)
	if err != nil {
		return nil, err
	}
	told := &Told{}
	talk := &talk{told: told, seen: map[uint16]bool{}}
	go talk.readFeedback(sender)
	peer.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { talk.record(remote, given.record) })
	channel, err := peer.CreateDataChannel("antiphon", nil)
	if err != nil {
		return nil, err
	}
	channel.OnOpen(func() { _ = channel.SendText(`{"app":{"data":{"number":7}}}`) })
	channel.OnMessage(func(message webrtc.DataChannelMessage) { talk.keep(string(message.Data)) })
	began := time.Now()
	connected := make(chan struct{})
	var once sync.Once
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	if err := negotiate(peer, given, told); err != nil {
		return nil, err
	}
	select {
	case <-connected:
	case <-time.After(patience):
		return nil, fmt.Errorf("not connected after %s: %s", patience, peer.ConnectionState())
	}
	told.ConnectedAfter = float64(time.Since(began).Microseconds()) / 1000
	fmt.Printf("{\"session\":%q}\n", told.Session)
	if err := talk.play(track, number, given); err != nil {
		return nil, err
	}
	return talk.end(peer), nil
}

func negotiate(peer *webrtc.PeerConnection, given options, told *Told) error {
	offer, err := peer.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	request, err := http.NewRequest(
		http.MethodPost, given.url+"/v1/sessions?agent="+given.agent, strings.NewReader(peer.LocalDescription().SDP),
	)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/sdp")
	request.Header.Set("Authorization", "Bearer "+given.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("refused with %s: %s", response.Status, body)
	}
	location := response.Header.Get("Location")
	told.Session, told.Answer = location[strings.LastIndex(location, "/")+1:], string(body)
	return peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: told.Answer})
}

// talk is a call's media and what is counted of it.
type talk struct {
	told  *Told
	lock  sync.Mutex
	seen  map[uint16]bool
	first uint16
	last  uint16
	nacks atomic.Uint64
	lost  atomic.Uint32
}

func (t *talk) keep(message string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.told.Messages = append(t.told.Messages, message)
}

func (t *talk) readFeedback(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet := packet.(type) {
			case *rtcp.TransportLayerNack:
				for _, pair := range packet.Nacks {
					t.nacks.Add(uint64(len(pair.PacketList())))
				}
			case *rtcp.ReceiverReport:
				for _, report := range packet.Reports {
					t.lost.Store(report.TotalLost)
				}
			}
		}
	}
}

// play sends the file round and round at its own pace.
func (t *talk) play(track *webrtc.TrackLocalStaticRTP, number uint8, given options) error {
	frames, err := readFrames(given.play)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var before []byte
	end := time.Now().Add(time.Duration(given.seconds * float64(time.Second)))
	for index := 0; time.Now().Before(end); index++ {
		<-ticker.C
		payload := frames[index%len(frames)]
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: number, SequenceNumber: uint16(index), Timestamp: uint32(index * frame)},
			Payload: payload,
		}
		if given.red {
			packet.Payload = redundant(before, payload)
		}
		before = payload
		if err := track.WriteRTP(packet); err != nil {
			return err
		}
		t.told.Sent++
	}
	return nil
}

func readFrames(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader, _, err := oggreader.NewWith(file)
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for {
		page, _, err := reader.ParseNextPage()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(page), "OpusTags") {
			frames = append(frames, page)
		}
	}
	if len(frames) == 0 {
		return nil, fmt.Errorf("%s holds no frames", path)
	}
	return frames, nil
}

// redundant puts the frame before this one into its packet (RFC 2198): 14 bits of offset, 10 of length.
func redundant(before, payload []byte) []byte {
	if before == nil || len(before) > 1023 {
		return append([]byte{opusType}, payload...)
	}
	word := uint32(frame)<<10 | uint32(len(before))
	packet := []byte{0x80 | opusType, byte(word >> 16), byte(word >> 8), byte(word), opusType}
	return append(append(packet, before...), payload...)
}

// primary is the last block of a RED packet.
func primary(payload []byte) []byte {
	at, skipped := 0, 0
	for at < len(payload) && payload[at]&0x80 != 0 {
		if at+4 > len(payload) {
			return nil
		}
		skipped += int(payload[at+2]&3)<<8 | int(payload[at+3])
		at += 4
	}
	if at+1+skipped > len(payload) {
		return nil
	}
	return payload[at+1+skipped:]
}

func (t *talk) record(remote *webrtc.TrackRemote, path string) {
	file, err := oggwriter.New(path, 48000, 2)
	if err != nil {
		log.Print(err)
		return
	}
	defer file.Close()
	for {
		packet, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		t.count(packet)
		if packet.PayloadType == redType {
			packet.Payload = primary(packet.Payload)
		}
		if len(packet.Payload) > 0 {
			_ = file.WriteRTP(packet)
		}
	}
}

func (t *talk) count(packet *rtp.Packet) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.told.Received == 0 {
		t.first, t.last = packet.SequenceNumber, packet.SequenceNumber
	}
	t.told.Received++
	if packet.PayloadType == redType {
		t.told.ReceivedAsRed++
	}
	t.seen[packet.SequenceNumber] = true
	if packet.SequenceNumber-t.last < 1<<15 {
		t.last = packet.SequenceNumber
	}
}

func (t *talk) end(peer *webrtc.PeerConnection) *Told {
	t.lock.Lock()
	defer t.lock.Unlock()
	for number := t.first; number != t.last; number++ {
		if !t.seen[number] {
			t.told.Missing++
		}
	}
	t.told.NacksReceived, t.told.ReportedLost = t.nacks.Load(), t.lost.Load()
	t.told.Transport = map[string]string{"state": peer.ConnectionState().String()}
	return t.told
}
