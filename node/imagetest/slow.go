package imagetest

import (
	"net/http"
	"time"
)

// Slow makes layers go out at so many bytes a second, each by itself: a pull
// that can be watched. 0 is as fast as it goes. What is under way keeps its pace.
func (r *Registry) Slow(bytesPerSecond int) { r.store.rate.Store(int64(bytesPerSecond)) }

// slowWriter sends an answer in pieces, one each slowPiece.
type slowWriter struct {
	http.ResponseWriter
	piece int
	stop  <-chan struct{}
}

const slowPiece = 50 * time.Millisecond

// Write implements io.Writer.
func (w slowWriter) Write(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		n, err := w.ResponseWriter.Write(b[sent:min(len(b), sent+w.piece)])
		if sent += n; err != nil {
			return sent, err
		}
		w.ResponseWriter.(http.Flusher).Flush()
		select {
		case <-time.After(slowPiece):
		case <-w.stop:
			return sent, http.ErrAbortHandler
		}
	}
	return sent, nil
}

// paced is how a blob goes to a client.
func (s *store) paced(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	rate := s.rate.Load()
	if rate == 0 {
		return w
	}
	return slowWriter{w, max(1, int(rate*int64(slowPiece)/int64(time.Second))), r.Context().Done()}
}
