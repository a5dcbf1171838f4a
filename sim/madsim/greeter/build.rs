//! Generates the gRPC service. It is described here in Rust, not in a .proto file: a fresh machine has no protoc. madsim passes messages on as
//! they are, so they need no codec.

use std::path::Path;

use madsim_tonic_build::{Attributes, client, server};
use tonic_build::manual::{Method, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let method = |name: &str, route: &str, request: &str, answer: &str| {
        // No codec is called: the path has to be one, no more.
        let method = Method::builder().name(name).route_name(route).codec_path("crate::messages::Codec");
        method.input_type(format!("crate::messages::{request}")).output_type(format!("crate::messages::{answer}"))
    };
    let service = Service::builder()
        .name("Greeter")
        .package("greeter")
        .method(method("greet", "Greet", "Name", "Greeting").build())
        .method(method("greet_often", "GreetOften", "Name", "Greeting").server_streaming().build())
        .method(method("greet_all", "GreetAll", "Name", "Count").client_streaming().build())
        .method(method("chat", "Chat", "Name", "Greeting").client_streaming().server_streaming().build())
        .build();
    let attributes = Attributes::default();
    let client = client::generate(&service, true, "", false, &attributes);
    let server = server::generate(&service, true, "", false, &attributes);
    let code = format!("{client}\n{server}");
    let file = syn::parse_file(&code).expect("what was generated is Rust");
    let out = std::env::var_os("OUT_DIR").expect("cargo says where to");
    std::fs::write(Path::new(&out).join("greeter.rs"), prettyplease::unparse(&file))
        .expect("cargo's folder can be written");
}
