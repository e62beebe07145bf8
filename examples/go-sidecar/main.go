// Command go-sidecar shows that a sidecar may be written in any language that speaks MCP: it offers one tool on a
// Unix socket in the kernel's run folder, with the official Go SDK and nothing else.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// contract is the version of the contract between kernel and sidecar that this program keeps.
const contract = "1.0"

// permit is what the kernel decided, as far as this program needs it.
type permit struct {
	Tool    string `json:"tool"`
	Enclave string `json:"enclave"`
	Right   string `json:"right"`
}

// caller is who calls, as far as this program needs it.
type caller struct {
	Kind string `json:"kind"`
}

type greetInput struct {
	Enclave string `json:"enclave,omitempty" jsonschema:"the enclave to greet; left out, your only one"`
	// Namespace is another name of Enclave, as every tool of the server takes it.
	Namespace string `json:"namespace,omitempty" jsonschema:"the same as enclave"`
	Greeting  string `json:"greeting,omitempty" jsonschema:"the word of greeting, default Hello"`
}

type greetOutput struct {
	Text  string `json:"text" jsonschema:"the greeting"`
	Right string `json:"right" jsonschema:"the right that the kernel granted"`
}

// written reads a header that the kernel alone writes, once in each call.
func written(request *mcp.CallToolRequest, name string, into any) error {
	values := request.Extra.Header.Values(name)
	if len(values) != 1 {
		return fmt.Errorf("header %s is there %d times: tools are called through the kernel", name, len(values))
	}
	text, err := base64.RawURLEncoding.DecodeString(values[0])
	if err != nil {
		return fmt.Errorf("header %s: %w", name, err)
	}
	return json.Unmarshal(text, into)
}

// permitted reads both headers and refuses a call of another tool.
func permitted(request *mcp.CallToolRequest) (permit, error) {
	var granted permit
	var calling caller
	if err := written(request, "Tentacular-Caller", &calling); err != nil {
		return granted, err
	}
	if err := written(request, "Tentacular-Permit", &granted); err != nil {
		return granted, err
	}
	if granted.Tool != request.Params.Name {
		return granted, fmt.Errorf("the permit is for %q", granted.Tool)
	}
	return granted, nil
}

func greet(_ context.Context, request *mcp.CallToolRequest, input greetInput) (*mcp.CallToolResult, greetOutput, error) {
	granted, err := permitted(request)
	if err != nil {
		return nil, greetOutput{}, err
	}
	greeting := input.Greeting
	if greeting == "" {
		greeting = "Hello"
	}
	// The enclave comes from the permit, never from the arguments: that is the one that was decided on.
	return nil, greetOutput{Text: greeting + ", " + granted.Enclave + "!", Right: granted.Right}, nil
}

// newServer offers the tool under the given names.
func newServer(names []string) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "go-sidecar", Version: "0.1.0"}, nil)
	for _, name := range names {
		mcp.AddTool(server, &mcp.Tool{
			Name:        name,
			Title:       "Greet an Enclave",
			Description: "Greets an enclave by its name.",
			Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
			// Without this declaration the kernel neither lists nor calls a tool.
			Meta: mcp.Meta{"tentacular.io/authz": map[string]any{
				"on": "enclave", "needs": "read", "enclave": []string{"/enclave", "/namespace"},
			}},
		}, greet)
	}
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
			result, err := next(ctx, method, request)
			if discovered, ok := result.(*mcp.DiscoverResult); ok && err == nil {
				if discovered.Meta == nil {
					discovered.Meta = mcp.Meta{}
				}
				discovered.Meta["tentacular.io/contract"] = contract
			}
			return result, err
		}
	})
	return server
}

// listen binds a temporary name and renames it, so that the kernel never finds a socket that nobody serves yet.
func listen(path string) (*net.UnixListener, error) {
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".go-sidecar.%d", os.Getpid()))
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(temporary, 0o660); err != nil {
		return nil, err
	}
	return listener, os.Rename(temporary, path)
}

// kernelOnly is a listener that closes what anybody but the kernel's user opens.
type kernelOnly struct {
	*net.UnixListener
	uid uint32
}

func (listener kernelOnly) Accept() (net.Conn, error) {
	for {
		connection, err := listener.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(connection); err == nil && uid == listener.uid {
			return connection, nil
		}
		_ = connection.Close()
	}
}

// peer is the user at the other end of a connection.
func peer(connection *net.UnixConn) (uint32, error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	var failed error
	err = raw.Control(func(descriptor uintptr) {
		credentials, failed = syscall.GetsockoptUcred(int(descriptor), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	return credentials.Uid, nil
}

// kernelUID is the kernel's user: the chart says it, and beside make demo it is this program's own.
func kernelUID() (uint32, error) {
	text, given := os.LookupEnv("TENTACULAR_KERNEL_UID")
	if !given {
		return uint32(os.Geteuid()), nil
	}
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("TENTACULAR_KERNEL_UID: %w", err)
	}
	return uint32(uid), nil
}

func run() error {
	folder := flag.String("run-dir", "/run/tentacular", "folder of the sidecars' sockets")
	name := flag.String("name", "greeter", "name of this sidecar, and of its socket")
	tools := flag.String("tools", "enclave_greet", "names under which the tool is offered, separated by commas")
	flag.Parse()

	kernel, err := kernelUID()
	if err != nil {
		return err
	}
	listener, err := listen(filepath.Join(*folder, *name+".sock"))
	if err != nil {
		return err
	}
	server := newServer(strings.Split(*tools, ","))
	handler := mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true},
	)
	endpoint := &http.Server{Handler: handler}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		// A part that leaves for good takes its socket with it; the kernel then unlists its tools.
		_ = os.Remove(filepath.Join(*folder, *name+".sock"))
		_ = endpoint.Shutdown(context.Background())
	}()
	if err := endpoint.Serve(kernelOnly{listener, kernel}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
