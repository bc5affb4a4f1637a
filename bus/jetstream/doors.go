package jetstream

import (
	"io"
	"net"
	"sync"
)

// Welcome takes connections from a further listener until the listener is
// closed: the server itself has one address only.
func (s *Server) Welcome(l net.Listener) {
	s.doors = append(s.doors, l)
	s.visits.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.visits.Go(func() { s.lead(c) })
		}
	})
}

// lead carries what a connection says to the server and back.
func (s *Server) lead(outside net.Conn) {
	defer outside.Close()
	inside, err := s.nats.InProcessConn()
	if err != nil {
		return // the server is closing
	}
	defer inside.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // either end may go at any time
			inside.Close()
			outside.Close()
		})
	}
	both.Wait()
}

// closeDoors ends the further listeners; what came through them ends with the server.
func (s *Server) closeDoors() {
	for _, l := range s.doors {
		_ = l.Close() // it is only read from
	}
}
