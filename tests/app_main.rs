//! `#[reactor::main]` on everything that a `main` may return.

use std::process::ExitCode;

mod nothing {
    #[reactor::main]
    pub async fn main() {
        assert_eq!(reactor::cores().len(), 1);
    }
}

mod code {
    use std::process::ExitCode;

    #[reactor::main(mode = "poll")]
    pub async fn main() -> ExitCode {
        ExitCode::from(3)
    }
}

mod anything_that_ends_a_process {
    #[reactor::main(mode = "interrupt", name = "a program")]
    pub async fn main() -> impl std::process::Termination {
        reactor::yield_now().await;
        Ok::<_, String>(())
    }
}

/// An error that is not `Send`: `main` never leaves its thread.
mod error_of_its_own {
    #[reactor::main]
    pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
        Err("as expected")?
    }
}

mod error_of_the_crate {
    #[reactor::main]
    pub async fn main() -> reactor::Result<()> {
        reactor::spawn_local(async { panic!("as expected") }).await?;
        Ok(())
    }
}

mod stopped {
    #[reactor::main]
    pub async fn main() -> std::convert::Infallible {
        reactor::app::stop(3);
        std::future::pending().await
    }
}

#[test]
fn the_exit_code_is_what_main_says() {
    for (main, code) in [
        (nothing::main as fn() -> ExitCode, 0),
        (code::main, 3),
        (anything_that_ends_a_process::main, 0),
        (error_of_its_own::main, 1),
        (error_of_the_crate::main, 1),
        (stopped::main, 3),
    ] {
        assert_eq!(main(), ExitCode::from(code));
    }
}
