// Command echo answers UDP datagrams with what they say, and asks such a
// server: echo serve ADDRESS, echo ask ADDRESS TEXT.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		log.Fatal(serve(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == "ask" {
		answer, err := ask(os.Args[2], os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer)
		return
	}
	log.Fatal("usage: echo serve ADDRESS | echo ask ADDRESS TEXT")
}

func serve(address string) error {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(append([]byte(host+" says "), buf[:n]...), from); err != nil {
			log.Print(err)
		}
	}
}

// ask sends the text from one unconnected socket until an answer comes, as a
// resolver would.
func ask(address, text string) (string, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return "", err
	}
	c, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return "", err
	}
	defer c.Close()
	buf := make([]byte, 1500)
	for range 20 {
		if _, err = c.WriteTo([]byte(text), to); err != nil {
			time.Sleep(250 * time.Millisecond)
			continue
		}
		if err = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return "", err
		}
		var n int
		if n, _, err = c.ReadFrom(buf); err == nil {
			return string(buf[:n]), nil
		}
	}
	return "", err
}
