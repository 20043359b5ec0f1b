// Pion-echo is a server to compare with: it answers offers that are posted to it and sends each Opus packet back.
//
// It does for each packet what Antiphon's edge and its echo worker do together, and nothing else: no interceptors that
// the call does not need, AEAD_AES_128_GCM, one UDP port for all calls.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where offers are posted to; port 0 takes a free one")
	flag.Parse()
	api, err := newAPI()
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", listener.Addr())
	server := &http.Server{Handler: answering(api), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}

// newAPI joins what all calls share: one socket, Opus, GCM, and the default RTCP reports.
func newAPI() (*webrtc.API, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := socket.SetReadBuffer(4 << 20); err != nil {
		return nil, err
	}
	if err := socket.SetWriteBuffer(4 << 20); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetLite(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	settings.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)

	media := &webrtc.MediaEngine{}
	if err := media.RegisterCodec(opus(), webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	if err := webrtc.ConfigureRTCPReports(registry); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(
		webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry),
	), nil
}

func opus() webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		},
		PayloadType: 111,
	}
}

func answering(api *webrtc.API) http.HandlerFunc {
	return func(writer http.ResponseWriter, request *http.Request) {
		offer, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 64<<10))
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := accept(api, string(offer))
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		writer.Header().Set("Content-Type", "application/sdp")
		writer.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(writer, answer)
	}
}

// accept opens a call that echoes until it closes.
func accept(api *webrtc.API, offer string) (string, error) {
	peer, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	track, err := webrtc.NewTrackLocalStaticRTP(opus().RTPCodecCapability, "audio", "echo")
	if err != nil {
		return "", errors.Join(err, peer.Close())
	}
	sender, err := peer.AddTrack(track)
	if err != nil {
		return "", errors.Join(err, peer.Close())
	}
	go drain(sender)
	peer.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			packet, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			// The caller's header extensions are not ours to send.
			packet.Extension, packet.Extensions = false, nil
			if err := track.WriteRTP(packet); err != nil {
				return
			}
		}
	})
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateDisconnected {
			_ = peer.Close()
		}
	})
	if err := peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", errors.Join(err, peer.Close())
	}
	answer, err := peer.CreateAnswer(nil)
	if err != nil {
		return "", errors.Join(err, peer.Close())
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(answer); err != nil {
		return "", errors.Join(err, peer.Close())
	}
	<-gathered
	return peer.LocalDescription().SDP, nil
}

// drain reads the RTCP that comes for a sender: Pion's interceptors work only while somebody does.
func drain(sender *webrtc.RTPSender) {
	buffer := make([]byte, 1500)
	for {
		if _, _, err := sender.Read(buffer); err != nil {
			return
		}
	}
}
