//! A future as a task keeps it: plain, or with a name.

use super::raw::Run;
use pin_project_lite::pin_project;
use std::{
    borrow::Cow,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// A future without a name: people see its type.
    #[repr(transparent)]
    pub(crate) struct Plain<F> {
        #[pin]
        pub(crate) future: F,
    }
}

impl<F: Future> Future for Plain<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F: Future + 'static> Run for Plain<F> {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<F>())
    }
}

pin_project! {
    /// A future with a name.
    pub(crate) struct Named<F> {
        pub(crate) name: Cow<'static, str>,
        #[pin]
        pub(crate) future: F,
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F: Future + 'static> Run for Named<F> {
    fn name(&self) -> Cow<'static, str> {
        self.name.clone()
    }
}
