from django.urls import include, path
from rest_framework.routers import DefaultRouter

from tests.responses import views

router = DefaultRouter()
router.register("set", views.Set, basename="set")
router.register("whole-set", views.WholeSet, basename="whole-set")

FUNCTIONS = (
    views.page, views.public, views.flavoured, views.setting_cookie, views.basket, views.form, views.template,
    views.with_messages, views.say, views.fill_basket, views.failing, views.moved, views.streaming,
    views.never, views.asynchronous, views.async_template, views.async_posted,
)  # fmt: skip
CLASSES = (
    views.Method, views.Method2, views.Dispatched, views.Heir, views.Whole, views.Api, views.ApiDispatched,
    views.ApiWhole,
    views.ApiWholeOpen,
)  # fmt: skip

urlpatterns = [
    *(path(f"{view.__name__}/", view) for view in FUNCTIONS),
    path("page/<int:number>/", views.page),
    *(path(f"{view.__name__}/<int:pk>/", view.as_view()) for view in CLASSES),
    path("plain/<int:pk>/", views.plain),
    path("api_function/<int:pk>/", views.api_function),
    path("api_front/<int:pk>/", views.api_front),
    path("", include(router.urls)),
]
