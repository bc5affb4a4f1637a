package containerd

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	clog "github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// harmless are containerd's complaints about what is no fault: a shim's log pipe closed by the removal of its bundle, a
// question to a shim that has just been told to end, the remains of a container whose command is not in its image.
var harmless = []string{
	"copy shim log",
	"failed to delete task",
	"ttrpc: received message on inactive stream",
	"warnings while cleaning up dead shim",
	"failed check for fsverity support",
}

// forward is where containerd's log lines go; the package has one logger for the process.
var (
	forward     atomic.Pointer[slog.Logger]
	forwardOnce sync.Once
)

// forwardLogs makes containerd's logger write to log, from warnings upward.
func forwardLogs(log *slog.Logger) {
	forward.Store(log.With("from", "containerd"))
	forwardOnce.Do(func() {
		l := clog.L.Logger
		l.SetLevel(logrus.WarnLevel)
		l.SetOutput(io.Discard)
		l.AddHook(hook{})
	})
}

// hook hands containerd's entries on.
type hook struct{}

// Levels are those worth a line among ours.
func (hook) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel}
}

// Fire hands one entry on.
func (hook) Fire(e *logrus.Entry) error {
	for _, h := range harmless {
		if strings.HasPrefix(e.Message, h) {
			return nil
		}
	}
	attrs := make([]any, 0, 2*len(e.Data))
	for k, v := range e.Data {
		attrs = append(attrs, k, v)
	}
	if e.Level == logrus.WarnLevel {
		forward.Load().Warn(e.Message, attrs...)
	} else {
		forward.Load().Error(e.Message, attrs...)
	}
	return nil
}
