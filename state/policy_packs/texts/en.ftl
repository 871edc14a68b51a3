### What borrowers read, in English. The syntax is Project Fluent (projectfluent.org).
###
### A lender's pack may put other words in the place of single messages (section texts_en); `reprieve policy check`
### says which variables each must state. Messages are added, never removed or given other variables, since policies of
### years ago name them. Variables by kind: see state/policy_packs/text_validation.py.

## An offer's message. It is put together of sentences, each of which is left out where it does not apply.

offer-sender = A message from { $lender }.

offer-plan =
    { $count ->
        [one] We have prepared a way to repay that you can afford. You can accept it until { $until }.
       *[other] We have prepared { $count } ways to repay that you can afford. Please choose the one that suits you best by { $until }.
    }
offer-plan-income-assumed =
    { $count ->
        [one] We have prepared a way to repay. We do not know your income, so please check whether you can afford it. You can accept it until { $until }.
       *[other] We have prepared { $count } ways to repay. We do not know your income, so please check which of them you can afford, and choose by { $until }.
    }
offer-plan-supportive =
    { $count ->
        [one] We know that this is a difficult time. We have prepared a way to repay that you can afford, and you can accept it until { $until }. If you would like help, one of us will talk it through with you.
       *[other] We know that this is a difficult time. We have prepared { $count } ways to repay that you can afford. Take your time: you can choose until { $until }. If you would like help, one of us will talk them through with you.
    }
offer-pay-in-full = You owe { $amount }. You can afford to pay it at once, so no plan is needed. If that has changed, please contact us.
offer-token = At present we have no repayment plan to offer that is within what you can afford. Until { $until } you can agree to pay { $amount } a month for now. We then look at the next step together.
offer-moratorium =
    { $months ->
        [one] At present we have no repayment plan to offer that is within what you can afford. Until { $until } you can agree to a payment break of one month. We then look at the next step together.
       *[other] At present we have no repayment plan to offer that is within what you can afford. Until { $until } you can agree to a payment break of { $months } months. We then look at the next step together.
    }
offer-referral = We would like to find a way forward together with you. Please talk to one of our specialists, or to a free and independent debt adviser.
offer-referral-supportive = Thank you for letting us know how things are. You do not need to decide anything now, and we will not send you another offer for a while. Whenever you are ready, one of us is there to talk it through.
offer-dispute = You dispute this debt. We will send you no offers until we have looked into it.
offer-lessons = You may find this useful: { $titles }.
offer-lesson = “{ $title }”
offer-telephone = You can call us on { $telephone }.
# The link comes last, so that nothing is taken for a part of it.
offer-reply = To answer or to ask a question online: { $link }

## Why an offer is as it is

reason-affordable =
    { $count ->
        [one] No payment is higher than what you can afford.
       *[other] No payment in any of these options is higher than what you can afford.
    }
reason-several-accounts =
    { $count ->
        [one] This option covers several of your accounts together.
       *[other] These options cover several of your accounts together.
    }
reason-income-unknown = We do not know your income yet. Please tell us, so that we can prepare a plan.
reason-expenses-unknown = We do not know your monthly expenses yet. Please tell us, so that we can prepare a plan.
reason-income-assumed = We do not know your income. Please tell us, so that we can work out what you can afford.
reason-no-surplus = After your living costs and your other debts, nothing is left to repay with at present.
reason-nothing-affordable = At present no plan that we can offer is within what you can afford.
reason-payable-at-once = The { $amount } that you owe is within what you can pay in one month.
reason-below-minimum-instalment = In a plan that you can afford, the payments would be below { $least }, the smallest that we can arrange.
reason-arrangement-not-permitted = We may not offer a smaller payment or a payment break here. A person will look for a way forward with you.
reason-too-high = You told us that the payments were too high.
reason-lowest-possible =
    { $count ->
        [0] We cannot grant lower payments than the ones you declined.
        [one] This option has the lowest payment that we can grant.
       *[other] The first option has the lowest payment that we can grant.
    }
reason-too-long = You told us that the last plan took too long.
reason-no-shorter-term =
    { $count ->
        [one] A shorter plan would ask for more than you can afford, so a longer one is offered again.
       *[other] A shorter plan would ask for more than you can afford, so longer ones are offered again.
    }
reason-rate =
    { $count ->
        [0] You told us that the interest rate was too high.
        [one] You told us that the interest rate was too high. This option has the lowest total cost.
       *[other] You told us that the interest rate was too high. The option with the lowest total cost comes first.
    }
reason-distrust = You had doubts about our last offer. You can read how we work out the figures, and how to check that an offer is genuine.
reason-income-change = You told us that your income has changed. Please tell us how things are now.
reason-dispute = You dispute this debt. We will send you no further offers until we have looked into it.
reason-distress = We know that things are very hard for you at the moment, so we will pause for a while.
reason-vulnerability = A specialist will look after you, at your own pace.
reason-counter-met =
    { $count ->
        [one] This option asks for no more than you proposed.
       *[other] The first option asks for no more than you proposed.
    }
reason-counter-too-low = With the amount that you proposed, the debt cannot be repaid within the terms and reductions that we can grant.
reason-recording-missing = An agreement by telephone has to be recorded. Please confirm your choice once more.
reason-earlier-offer-ended = The offer that you accepted had already ended. Here is a new one.

## Where there is support

support-hotline = Help with repayment: call the number on your card or contract.
support-hotline-telephone = Help with repayment: call { $telephone }.
support-person = You can ask for one person to look after your case, at a time that suits you.
support-dispute = Please send what you dispute, with any evidence, to our complaints team. We do not collect the disputed amount in the meantime.
support-interview = Arrange a short interview to bring your income and expenses up to date.
support-portal = All your accounts: { $link }
advice-cn = The financial consumer protection line and local mediation centres help free of charge.
advice-gb = StepChange, National Debtline and MoneyHelper give free and independent debt advice.
advice-us = Member agencies of the National Foundation for Credit Counseling (NFCC) give non-profit advice.
advice-anywhere = Independent debt advisers near you give free advice.
advice-link = Free and independent debt advice: { $link }

## An option: its name, and why it is offered

option-label-level =
    { $months ->
        [one] One payment of { $amount }
       *[other] { $months } monthly payments of { $amount }
    }
option-label-step-up =
    { $months ->
        [one] One payment of { $amount }
       *[other] { $months } monthly payments, lower at first, then at most { $amount }
    }
option-label-deferred =
    { $deferred ->
        [one] { $months ->
            [one] One payment of { $amount }
           *[other] { $months } monthly payments: interest only in the first month, then { $amount }
        }
       *[other] { $months ->
            [one] One payment of { $amount }
           *[other] { $months } monthly payments: interest only in the first { $deferred } months, then { $amount }
        }
    }
option-label-deferred-free =
    { $deferred ->
        [one] { $months ->
            [one] One payment of { $amount }
           *[other] { $months } months: nothing to pay in the first month, then { $amount } a month
        }
       *[other] { $months ->
            [one] One payment of { $amount }
           *[other] { $months } months: nothing to pay in the first { $deferred } months, then { $amount } a month
        }
    }
option-label-token =
    { $months ->
        [one] One payment of { $amount } for now
       *[other] { $months } monthly payments of { $amount } for now
    }
option-label-payment-holiday = Nothing to pay until { $until }
option-reason-token = Until { $until } you pay only this small amount. We do not collect the rest, and charge no penalties and no late fees.
option-reason-payment-holiday = Until { $until } you pay nothing. We do not collect, and charge no penalties and no late fees.
option-reason-review = On { $due_on } we look at your situation again and offer the next step.
option-reason-affordable = No payment is higher than { $amount }, which is within what you can afford.
option-reason-highest = No payment is higher than { $amount }.
option-reason-interest-free = No interest is charged.
option-reason-rate-cut = The interest rate is { $cut } lower than under your contract.
option-reason-waived = We waive { $amount }.
option-reason-deferred =
    { $deferred ->
        [one] In the first month you pay interest only.
       *[other] In the first { $deferred } months you pay interest only.
    }
option-reason-deferred-free =
    { $deferred ->
        [one] In the first month you pay nothing.
       *[other] In the first { $deferred } months you pay nothing.
    }
option-reason-step-up = The payments are lower at first.
option-reason-saves = You pay { $amount } less than under your contract.

## What has to be disclosed: a heading and the text, of an offer and of what is agreed

disclosure-balance-structure-currency-heading = What you owe
disclosure-balance-structure-currency = You owe { $owed } in { $currency }: principal { $principal }, interest { $interest }, fees { $fees }, penalties { $penalty }.
disclosure-cycle-heading = Payment cycle
disclosure-cycle =
    { $count ->
        [one] There is one payment.
       *[other] { $options ->
            [one] One payment is due every month, { $count } in all.
           *[other] One payment is due every month, { $count } in all in the first option.
        }
    }
disclosure-method-currency-dates-amounts-heading = Currency, dates and amounts
disclosure-method-currency-dates-amounts =
    { $count ->
        [one] You make one payment of { $most } in { $currency } on { $first }.
       *[other] { $options ->
            [one] You pay in { $currency }, first on { $first } and last on { $last }, at most { $most } at a time. The option lists the date and the amount of each payment.
           *[other] You pay in { $currency }. In the first option you pay first on { $first } and last on { $last }, at most { $most } at a time. Every option lists the date and the amount of each payment.
        }
    }
disclosure-fees-and-interest-going-on-heading = Interest and fees
disclosure-fees-and-interest-going-on =
    { $options ->
        [one] While you keep the plan, only the interest that it lists is charged: { $charged } in all at { $rate } a year. No further fees and no penalties are charged.
       *[other] While you keep the plan, only the interest that it lists is charged: in the first option { $charged } in all at { $rate } a year. No further fees and no penalties are charged.
    }
disclosure-fees-and-interest-going-on-free =
    { $options ->
        [one] While you keep the plan, no interest, no further fees and no penalties are charged.
       *[other] While you keep the plan, no further fees and no penalties are charged, and in the first option no interest.
    }
disclosure-cycle-for-a-time =
    { $count ->
        [0] No payment is due until { $until }.
        [one] One payment is due, and no other until { $until }.
       *[other] One payment is due every month, { $count } in all, and no other until { $until }.
    }
disclosure-method-currency-dates-amounts-for-a-time =
    { $count ->
        [0] You pay nothing in { $currency } until { $until }. On { $due_on } we offer the next step.
        [one] You pay { $most } in { $currency } on { $first }. The arrangement lasts until { $until }; on { $due_on } we offer the next step.
       *[other] You pay in { $currency }, first on { $first } and last on { $last }, { $most } at a time. The arrangement lasts until { $until }; on { $due_on } we offer the next step.
    }
disclosure-fees-and-interest-going-on-for-a-time = Until { $until } no penalties, no late fees and nothing for the delay are charged. The interest of your contract goes on.
disclosure-all-in-cost-for-a-time = This arrangement costs nothing: until { $until } only the interest of your contract goes on.
disclosure-rights-duties-default-for-a-time =
    { $count ->
        [0] We do not collect until { $until }. You may pay at any time, and you may object at any time. Then your contract applies again, unless we have agreed on the next step.
        [one] We do not collect while you keep the arrangement. You may pay more at any time, and you may object at any time. If you miss the payment, the arrangement ends and your contract applies again.
       *[other] { $missed ->
            [one] We do not collect while you keep the arrangement. You may pay more at any time, and you may object at any time. If you miss one payment, it ends and your contract applies again.
           *[other] We do not collect while you keep the arrangement. You may pay more at any time, and you may object at any time. If you miss { $missed } payments in a row, it ends and your contract applies again.
        }
    }
disclosure-no-new-cards-until-settled-heading = No new credit cards
disclosure-no-new-cards-until-settled = Until the debt is settled you undertake not to apply for a new credit card at any bank.
disclosure-all-in-cost-heading = What the plan costs in all
disclosure-all-in-cost =
    { $options ->
        [one] While you keep the plan, it costs { $cost } a year in all (the internal rate of return, compounded): interest of { $charged } on { $financed }, which we charge. Nothing else is charged for it.
       *[other] While you keep the plan, the first option costs { $cost } a year in all (the internal rate of return, compounded): interest of { $charged } on { $financed }, which we charge. Nothing else is charged for it.
    }
disclosure-contingent-cost-heading = What it costs not to pay
disclosure-contingent-cost = Missed payments cost nothing while the plan lasts. When it has ended because of them, your contract applies again.
contingent-penalty-markup = We then charge penalty interest on overdue principal, at your contract's rate and { $markup } of it on top.
contingent-penalty-rate = We then charge penalty interest of { $rate } a year on overdue principal.
contingent-penalty-on-interest = Overdue interest bears it too.
contingent-late-fee-flat = For each missed payment we then charge a late fee of { $fees }.
contingent-late-fee-share = For each missed payment we then charge a late fee of { $late } of what is unpaid.
contingent-late-fee-both = For each missed payment we then charge a late fee of { $fees } and { $late } of what is unpaid.
contingent-late-fee-most = No late fee is more than { $most }.
contingent-cap = All of these charges together are at most { $cap } of the principal.
contingent-none = We then charge no penalty interest and no late fees.
disclosure-rights-duties-default-heading = Your rights and duties
disclosure-rights-duties-default =
    { $missed ->
        [one] We do not collect while you keep the plan. You may settle early, and you may object at any time. If you miss one payment, the plan ends and your contract applies again.
       *[other] We do not collect while you keep the plan. You may settle early, and you may object at any time. If you miss { $missed } payments in a row, the plan ends and your contract applies again.
    }
agreed-method-currency-dates-amounts =
    { $count ->
        [one] You make one payment of { $most } in { $currency } on { $first }, by the means that your contract names.
       *[other] You pay in { $currency } by the means that your contract names, first on { $first } and last on { $last }, at most { $most } at a time. The schedule states the date and the amount of each payment.
    }
agreed-fees-and-interest-going-on = While you keep the agreement, only the interest in the schedule is charged: { $charged } in all at { $rate } a year. No further fees and no penalties are charged.
agreed-fees-and-interest-going-on-free = While you keep the agreement, no interest, no further fees and no penalties are charged.

## Lessons

lesson-how-plans-work = How a repayment plan works
lesson-how-we-calculate = How we work out what you can afford
lesson-is-it-genuine = How to check that an offer is genuine
lesson-interest-and-fees = How interest and fees come about
lesson-budget-basics = Making a household budget
lesson-income-shock = What to do when your income falls
lesson-your-rights = Your rights
lesson-looking-after-yourself = Looking after yourself while in debt
lesson-credit-record = How to rebuild your credit record

## The agreement as a page

agreement-title = Personal repayment agreement
agreement-number = Agreement
agreement-lender = Lender
agreement-telephone = Telephone
agreement-borrower = Borrower
agreement-account = Account
agreement-agreed-on = Agreed on
agreement-rules = Rules
agreement-recording = Recording of the call
agreement-recording-kept = (kept at least until the debt is settled)
agreement-balance = Balance, its structure and currency ({ $currency })
agreement-principal = Principal
agreement-interest = Interest
agreement-fees = Fees
agreement-penalty = Penalties
agreement-sum = Total
agreement-owed = Owed
agreement-waived = Waived
agreement-financed = To be repaid
agreement-terms = What is agreed
agreement-schedule = Schedule ({ $currency })
agreement-schedule-now = Schedule that applies now ({ $currency })
agreement-period = No.
agreement-due-on = Due on
agreement-amount = Amount
agreement-of-principal = Principal
agreement-of-interest = Interest
agreement-left = Principal left
agreement-rate = Annual rate
agreement-more = Between the offer and the agreement, { $amount } was added to the debt. It falls due after the last payment. The payments that were agreed do not change.
agreement-less = Between the offer and the agreement, the debt fell by { $amount }. The last payments are smaller or no longer needed, and interest is charged only on what is still owed.
agreement-onto-last = Between the offer and the agreement, { $amount } was added to the debt. It is part of the last payment, which is no larger than the largest that was agreed.
agreement-spread = Between the offer and the agreement, { $amount } was added to the debt. The plan may not run longer, so the payments are larger.
agreement-forgiven = We waive a difference of { $amount }.
agreement-beside = { $amount } that was already billed is not part of this plan. Please pay it separately on { $due_on }.
agreement-postponed = Payments were paused. The payments that fell due during the pause, and all later ones, are due on the dates shown here.
agreement-translation = This is a translation, for information only. The text in the language of the agreement applies.
