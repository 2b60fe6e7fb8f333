package main

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// whoami is a name server at an address that answers each question for an IPv4
// address with that of who asks, and prints both. It tells what a forwarder
// looks like from its upstream.
func whoami(address string) error {
	failed := make(chan error)
	talk := func(client net.Conn) {
		// A forwarder may keep the connection for further questions.
		for {
			request, err := receiveDNS(client)
			if err != nil {
				return
			}
			answer, err := answerDNS(request, client.RemoteAddr())
			if err != nil || sendDNS(client, answer) != nil {
				return
			}
		}
	}
	answer := func(request []byte, from net.Addr) []byte {
		reply, _ := answerDNS(request, from)
		return reply
	}
	if err := listen("", net.JoinHostPort(address, "53"), failed, talk, answer); err != nil {
		return err
	}
	fmt.Println("ready")
	return <-failed
}

func answerDNS(packed []byte, from net.Addr) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(packed); err != nil {
		return nil, err
	}
	asker, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return nil, err
	}
	message.Response, message.RecursionAvailable = true, true
	message.Additionals = nil
	for _, question := range message.Questions {
		fmt.Println(question.Name, "for", asker.Addr())
		if question.Type == dnsmessage.TypeA && asker.Addr().Is4() {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				// A time to live of 0: nobody keeps the answer.
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class},
				Body:   &dnsmessage.AResource{A: asker.Addr().As4()},
			})
		}
	}
	return message.Pack()
}
