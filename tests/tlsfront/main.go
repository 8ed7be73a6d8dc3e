// Command tlsfront puts TLS in front of a plain server.
//
//	tlsfront [-listen ADDRESS] [-mutual] [-expired | -self-signed] -certificates FOLDER -for HOST -to NETWORK:ADDRESS
//
// It creates a certificate authority, a server certificate for HOST and a client certificate. It writes the files of
// clients into FOLDER, named as Docker does: ca.pem, cert.pem and key.pem. With -self-signed the authority is for HOST
// and is the server's certificate, as `openssl req -x509` makes one. Its first line of output is the address that it
// listens on.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "the address to listen on")
	mutual := flag.Bool("mutual", false, "require a client certificate")
	expired := flag.Bool("expired", false, "let the server's certificate have expired")
	selfSigned := flag.Bool("self-signed", false, "present the authority's own certificate")
	folder := flag.String("certificates", "", "the folder to write ca.pem, cert.pem and key.pem to")
	host := flag.String("for", "127.0.0.1", "the address or name that the server's certificate is for")
	to := flag.String("to", "", "the server, such as unix:/run/docker.sock or tcp:127.0.0.1:8080")
	flag.Parse()

	authority := newAuthority(*host)
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if *expired {
		template.NotAfter = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		template.NotBefore = template.NotAfter.Add(-time.Hour)
	}
	server := authority.issue(template, *host)
	if *selfSigned {
		server = tls.Certificate{Certificate: [][]byte{authority.certificate.Raw}, PrivateKey: authority.key}
	}
	client := authority.issue(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, "client")
	write(*folder, "ca.pem", "CERTIFICATE", authority.certificate.Raw)
	write(*folder, "cert.pem", "CERTIFICATE", client.Certificate[0])
	write(*folder, "key.pem", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(client.PrivateKey)))

	config := &tls.Config{Certificates: []tls.Certificate{server}}
	if *mutual {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AddCert(authority.certificate)
	}
	listener := must(tls.Listen("tcp", *address, config))
	fmt.Println(listener.Addr())
	for {
		go forward(must(listener.Accept()).(*tls.Conn), *to)
	}
}

// forward copies data in both directions until the server closes the connection.
func forward(client *tls.Conn, to string) {
	defer client.Close()
	if client.Handshake() != nil {
		return
	}
	network, address, _ := strings.Cut(to, ":")
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(server, client)
	io.Copy(client, server)
}

// authority is a certificate authority for the lifetime of the process.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(host string) authority {
	key := newKey()
	usage := x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: usage}
	name(template, host)
	fill(template, "authority")
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return authority{must(x509.ParseCertificate(der)), key}
}

func (a authority) issue(template *x509.Certificate, host string) tls.Certificate {
	key := newKey()
	name(template, host)
	der := must(x509.CreateCertificate(rand.Reader, fill(template, host), a.certificate, &key.PublicKey, a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func name(template *x509.Certificate, host string) {
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
}

func fill(template *x509.Certificate, name string) *x509.Certificate {
	template.SerialNumber = must(rand.Int(rand.Reader, big.NewInt(1<<62)))
	template.Subject = pkix.Name{CommonName: name}
	if template.NotAfter.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
		template.NotAfter = time.Now().Add(time.Hour)
	}
	return template
}

func newKey() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func write(folder, name, kind string, bytes []byte) {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
