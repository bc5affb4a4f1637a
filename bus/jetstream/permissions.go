package jetstream

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/stave-run/stave/events"
)

// controlUser is the control plane: it connects inside the process with a
// password that is made at each start and written nowhere.
const controlUser = "control"

// WiresUser is in whose name a server's own Wires ask.
const WiresUser = controlUser

// inboxPrefix is where a user's replies go. Each user has its own, so that
// nobody reads another's and a server can tell whose a reply subject is.
func inboxPrefix(user string) string { return "_INBOX." + user }

// personPermissions let somebody ask in their own name, tap the live feed, see
// how far nodes are with their pulls, and replay the past to others who listen.
func personPermissions(user string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"req." + user + ".>", "replay." + user + ".>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"live.>", "pull.*", "replay.>", inboxPrefix(user) + ".>"}},
	}
}

// replyTime is how long a node may answer after it was last spoken to. A stream
// is spoken to all the time, by heartbeats.
const replyTime = time.Minute

// nodePermissions let a node ask in its own name (which is how it says what it
// saw, see facts.go), beat, tell of its pulls, and answer what is asked of it.
func nodePermissions(c Credential) *server.Permissions {
	publish := []string{"req." + c.User + ".>"}
	subscribe := []string{inboxPrefix(c.User) + ".>", "live.net.>", "live.beacon", string(events.NodeFeedSubject(c.Node))}
	publish = append(publish, "hb."+events.Token(c.Node), "pull."+events.Token(c.Node))
	subscribe = append(subscribe, "req.*.node."+events.Token(c.Node)+".>")
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: subscribe},
		Response:  &server.ResponsePermission{MaxMsgs: -1, Expires: replyTime},
	}
}
